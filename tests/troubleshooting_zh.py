"""docs/zh/troubleshooting.md: the error messages in Chinese, with the messages and commands of the English page.

The causes and notes come from tests/failure_words_zh.toml. A failure without words, or with too few notes, is an error.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import troubleshooting_page
from troubleshooting_page import Entry

from mamba_build_backend.core._compat import tomllib

WORDS = Path(__file__).resolve().parent / "failure_words_zh.toml"

HEAD = """\
# 常见报错

每条都有报错原文、原因和解决它的命令。命令里的 `./mamba-ssm-portable` 是你克隆的本项目的目录。也可以让 `explain` 自动分析日志：它找出对应的条目，\
按日志里的模块、torch 和 CUDA 以及你的环境（pip、uv、conda、pixi、容器）给出命令，并写出目录的真实路径：

<!-- run: text -->
```bash
python -m mamba_build_backend explain < build.log
```

编译之前，`doctor` 会告诉你缺什么、该运行哪条命令：

<!-- run: text -->
```bash
python -m mamba_build_backend doctor
```

`explain` 和 `doctor` 的输出是英文：`found:` 是日志里的报错，`cause:` 是原因，`fix:` 是首选的命令，`or:` 是其他办法，`do:` 是要做的事；命令里 `#` \
后面是注释。不认识的日志会回答 `unknown`，不会乱猜。请提供完整的日志：第一个错误才是原因。

**如果是 causal-conv1d 报同样的错**，请把命令里的 `./mamba-ssm-portable`（以及后面的 `-C distribution-name=mamba-ssm`）换成 \
`./mamba-ssm-portable -C upstream=causal-conv1d -C distribution-name=causal-conv1d`。

什么都不想装，可以[在浏览器里分析日志](explain.md)。英文版：[Error messages](../troubleshooting.md)。

## 查找报错

先看最常见的几种，再按看到的现象打开一组。也可以用本站的搜索，查找报错里的词，例如 `bare_metal_version`、`GLIBC_2.32` 或“显卡”。

- [`GLIBC_2.32` not found](#glibc-too-old)：系统的 glibc 比 wheel 要求的旧
- [`undefined symbol`](#undefined-symbol-other-torch)：升级 torch 之后导入失败
- [`No module named 'torch'`](#build-isolation-no-torch)：明明装了 torch
- [`bare_metal_version`](#nvcc-not-found)：找不到 nvcc
- [`The detected CUDA version mismatches`](#cuda-mismatch)：nvcc 与 torch 的 CUDA 不一致
- [`unsupported GNU version`](#nvcc-unsupported-host-compiler)：gcc 版本太新
- [`Building wheel for mamba-ssm`](#building-without-a-word)：卡住不动；停在 [`Guessing wheel URL`](#wheel-download-hangs)：连不上 GitHub
- [`Killed`](#killed-by-memory)：内存不足
- [`No module named 'causal_conv1d_cuda'`](#causal-conv1d-cuda-missing)：causal-conv1d 没有编译 CUDA 扩展
- [`no kernel image is available`](#no-kernel-image)：RTX 5090 等新显卡，或者很旧的显卡
"""

FOOT = """\
本页由 `python tests/update_reports.py` 根据 `mamba_build_backend/tables/failures.toml`、`failure_words.toml` 和 \
`tests/failure_words_zh.toml` 生成。
"""

GROUPS = {
    "glibc": "glibc 与 libstdc++：找不到某个版本",
    "import": "导入错误：缺少模块、库或符号",
    "compiler": "编译器或链接器报错",
    "nvcc": "nvcc 与 CUDA Toolkit",
    "gpu": "显卡与驱动",
    "pip": "pip 拒绝安装，或者编译环境缺少模块",
    "network": "下载",
    "memory": "内存与磁盘",
    "python": "mamba-ssm、transformers 与分支项目的名称和参数",
    "run": "运行模型时的报错",
    "system": "Windows、macOS 与 AMD 显卡",
}


@functools.cache
def words() -> dict[str, dict[str, Any]]:
    """The rows by the id of their failure."""
    return tomllib.loads(WORDS.read_text(encoding="utf-8"))


class Chinese(troubleshooting_page.Language):
    def heading(self, entry: Entry) -> str:
        return words()[entry.failure.id].get("title", entry.heading)

    def cause(self, entry: Entry) -> str:
        return words()[entry.failure.id]["cause"]

    def notes(self, entry: Entry) -> list[str]:
        notes = words()[entry.failure.id]["notes"]
        if len(notes) != len(entry.found.fixes):
            raise ValueError(f"{WORDS.name}: {entry.failure.id}: {len(notes)} notes for {len(entry.found.fixes)} fixes")
        return notes


CHINESE = Chinese(
    head=HEAD,
    foot=FOOT,
    groups=GROUPS,
    labels={"fix": "办法：", "or": "或者：", "do": "操作：", "reported": "报告过此问题："},
    link="此报错的链接",
)


def page() -> str:
    """The page as Markdown."""
    return troubleshooting_page.page(CHINESE)
