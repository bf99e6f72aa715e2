"""The site in a browser: built by release/make_site.py, served from this machine, in Debian's headless Chromium.

The page "Explain a log" must answer what the command line prints, send nothing anywhere, and work on a phone and by
keyboard.
"""

import functools
import gzip
import http.server
import json
import os
import shutil
import socket
import sys
import threading
import zipfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import ROOT, lacking, run, shared_folder

from mamba_build_backend.core.locks import locked

sys.path.insert(0, str(ROOT / "docs" / "templates"))
import page_policy

playwright = pytest.importorskip("playwright.sync_api", reason="lacks playwright")
pytestmark = pytest.mark.xdist_group("site")  # one browser, with one Python loaded in it

CHROMIUM = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # what Chromium asks for itself ends here
)
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
LOADED = 180_000  # milliseconds: Python takes 4 s to start on an idle machine, and this one may have other work
LOGS = ROOT / "tests" / "logs"
FACTS = ROOT / "tests" / "facts"
A_DOZEN = (
    "build-isolation-no-torch",
    "causal-conv1d-none",
    "cuda-mismatch.2",
    "glibc-too-old",
    "harmless.1",
    "host-compiler-too-new-for-cuda",
    "killed-by-memory",
    "macos",
    "no-kernel-image",
    "nvcc-not-found",
    "pip-subprocess-error",
    "undefined-symbol-other-torch",
    "wheel-url-404",
    "windows",
)
MACHINES = ("centos7-gxx-4.8.5-alone", "conda-sysroot-too-new", "debian12-torch2.11-cuda13.0", "arch-unknown-to-nvcc")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site as a release builds it, made once for all processes."""
    if not shutil.which("npm"):
        lacking("npm, which brings Pyodide into the site")
    folder = shared_folder(tmp_path_factory) / "site"
    with locked(folder.with_suffix(".lock")):
        if not folder.exists():
            part = folder.with_suffix(".part")
            run(sys.executable, ROOT / "release" / "make_site.py", part, env=quiet(), cwd=ROOT)
            part.rename(folder)
    return folder


def quiet():
    return {**os.environ, "NO_MKDOCS_2_WARNING": "1"}


class Pages(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
        """Nothing."""


@contextmanager
def served(folder, handler=Pages):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def address(site):
    with served(site) as found:
        yield found


@pytest.fixture(scope="module")
def browser():
    program = next((path for path in CHROMIUM if os.access(path, os.X_OK)), None)
    if program is None:
        lacking("Chromium (apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=program, args=FLAGS)
        yield opened
        opened.close()


class Reader:
    """A page with the form, as a reader uses it, and all that it asked the network for."""

    def __init__(self, browser, address, name="explain.html", **options):
        self.context = browser.new_context(**{"viewport": DESKTOP, **options})
        if address.startswith("http:"):
            self.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
        self.asked, self.errors = [], []
        self.context.on("request", lambda request: self.asked.append(request.url))
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        self.page.goto(f"{address}/{name}")

    def give(self, text):
        self.page.locator("#explain-text").fill(text)

    def open(self, name, data):
        self.page.set_input_files("#explain-file", {"name": name, "mimeType": "", "buffer": data})

    def explain(self):
        """Press the button; what the answer says, as text."""
        self.page.locator("#explain button[type=submit]").click()
        return self.answer()

    def answer(self):
        self.page.locator("#explain-answer .explain-lines").first.wait_for(timeout=LOADED)
        return self.page.locator("#explain-answer .explain-lines").first.text_content()

    def refusal(self):
        """What the page says in place of an answer."""
        self.page.locator("#explain-status.explain-wrong").wait_for(timeout=LOADED)
        assert self.page.locator("#explain-answer").is_hidden()
        return self.status()

    def status(self):
        return self.page.locator("#explain-status").inner_text()

    def copied(self, button):
        button.click()
        self.page.locator("#explain-status", has_text="Copied.").wait_for()
        return self.page.evaluate("navigator.clipboard.readText()")


@pytest.fixture(scope="module")
def loaded(browser, address):
    """One reader for the tests of answers, in whose page Python stays loaded."""
    reader = Reader(browser, address)
    reader.page.locator("#explain form").wait_for()
    yield reader
    reader.context.close()


@pytest.fixture
def reader(loaded):
    loaded.page.locator("#explain button", has_text="Clear").click()
    loaded.errors.clear()
    yield loaded
    assert loaded.errors == []


@pytest.fixture(scope="module")
def typed(site, tmp_path_factory):
    """The command line of the same files: in a virtual environment with a new pip, no uv, and a user without root."""
    folder = tmp_path_factory.mktemp("typed")
    run(sys.executable, "-m", "venv", folder / "venv", env=quiet(), cwd=folder)
    (packages,) = (folder / "venv").glob("lib/python*/site-packages")
    with zipfile.ZipFile(site / "explain" / "backend.zip") as archive:
        archive.extractall(packages)
    (folder / "empty").mkdir()
    program = (
        "import runpy, sys; from dataclasses import replace; from mamba_build_backend.probe import shell\n"
        "looked = shell.probe_shell\n"
        "fixed = dict(root=False, container=False, modules=False, uv=False, settings_by_variable=False)\n"
        "shell.probe_shell = lambda environ: replace(looked(environ), **fixed)\n"
        "runpy.run_module('mamba_build_backend', run_name='__main__', alter_sys=True)"
    )
    env = {"PATH": f"{folder}/venv/bin:/usr/bin:/bin", "HOME": "/home/reader", "LANG": "C.UTF-8"}

    def call(*words):
        done = run(folder / "venv/bin/python", "-c", program, *words, env=env, cwd=folder / "empty", check=False)
        assert "Traceback" not in done.stderr
        return done.stdout or done.stderr

    return call


@pytest.mark.parametrize("name", A_DOZEN)
def test_a_pasted_log_gets_the_answer_of_the_command_line(reader, typed, name):
    path = LOGS / f"{name}.txt"
    reader.give(path.read_text(encoding="utf-8"))
    assert reader.explain() == typed("explain", path)
    assert (reader.status().startswith("The cause was found in ")) is not name.startswith("harmless")


@pytest.mark.parametrize("name", MACHINES)
def test_an_opened_machine_file_gets_the_report_of_the_command_line(reader, typed, name):
    path = FACTS / f"{name}.json"
    reader.open("machine.json", path.read_bytes())
    told = typed("doctor", "--facts", path)
    assert reader.explain() == told
    assert reader.status().startswith(
        "This machine cannot build yet." if "error: " in told else "This machine can build."
    )


def test_a_pasted_machine_file_is_recognised(reader, typed):
    path = FACTS / "no-gxx.json"
    reader.give(path.read_text(encoding="utf-8"))
    assert reader.explain() == typed("doctor", "--facts", path)


def test_each_command_has_a_button_that_copies_it_alone(reader):
    reader.give((LOGS / "glibc-too-old.txt").read_text(encoding="utf-8"))
    answer = reader.explain()
    buttons = reader.page.locator("#explain-answer .explain-lines").first.locator("button")
    copied = [reader.copied(button) for button in buttons.all()]
    assert len(copied) == 4
    assert all(f":  {command}\n" in answer or f":   {command}\n" in answer for command in copied)
    assert copied[0] == "python -m pip install $(python -m mamba_build_backend build -C distribution-name=mamba-ssm)"
    assert [button.get_attribute("aria-label") for button in buttons.all()] == [f"Copy: {item}" for item in copied]
    assert reader.copied(reader.page.get_by_role("button", name="Copy the whole answer")) == answer


def test_the_command_that_installs_the_tool_can_be_copied_and_names_what_is_there(reader):
    reader.give("nvcc was not found.")
    reader.explain()
    command = reader.copied(reader.page.locator(".explain-tool button"))
    assert command == "python -m pip install ./distributions/mamba-build-backend"
    assert (ROOT / command.rpartition(" ")[2] / "pyproject.toml").is_file()


def test_no_secret_of_the_log_is_shown(reader):
    told = "curl: (6) could not resolve https://maria:hunter22@pypi.example/simple HF_TOKEN=hf_abcdefghij"
    reader.give(f"ERROR: {told}\nerror: {told}: No space left on device\n")
    answer = reader.explain()
    assert "***" in answer
    assert "hunter22" not in answer and "hf_abcdefghij" not in answer


@pytest.mark.parametrize("text", ["", "  \n\t\n"])
def test_no_text_is_told(reader, text):
    reader.give(text)
    reader.page.locator("#explain button[type=submit]").click()
    assert reader.refusal() == "There is no text yet. Paste a log, or open a file."
    assert reader.page.evaluate("document.activeElement.id") == "explain-text"


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("core", b"\x7fELF\x02\x01\x01\0\0\0", "core is no text file. "),
        ("build.log.gz", gzip.compress(b"error", mtime=0), "build.log.gz is compressed. Unpack it first"),
        ("a-1-py3-none-any.whl", b"PK\x03\x04\x14\0", "a-1-py3-none-any.whl is a wheel. To check a wheel, run: "),
        ("logs.zip", b"PK\x03\x04\x14\0", "logs.zip is compressed."),
    ],
)
def test_a_file_that_is_no_log_is_told(reader, name, data, told):
    reader.open(name, data)
    assert reader.refusal().startswith(told)


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b"[1, 2",
        b'{"schema": 2, "facts": {"machine": 3}}',
        (FACTS / "no-gxx.json").read_bytes()[:1000],
        b'{"facts": ' + b"[" * 100_000,
        b"\xff\xfe\xfd",
        json.dumps({"schema": 10**6, "facts": {}}).encode(),
    ],
)
def test_a_json_file_that_is_no_machines_is_told_in_a_sentence(reader, data):
    reader.open("machine.json", data)
    answer = reader.explain()
    assert answer.startswith("machine.json is not a machine file: ")
    assert "Traceback" not in answer
    assert reader.status() == "This text cannot be read as a machine file."


def test_a_truncated_machine_file_that_is_pasted_is_no_log(reader):
    reader.give((FACTS / "no-gxx.json").read_text(encoding="utf-8")[:1000])
    assert "is not a machine file" in reader.explain()


def test_a_log_that_powershell_wrote_is_read(reader, typed):
    path = LOGS / "windows.txt"
    reader.open("build.log", b"\xff\xfe" + path.read_text(encoding="utf-8").encode("utf-16-le"))
    assert reader.explain() == typed("explain", path)


def test_the_page_lives_while_a_log_of_megabytes_is_read(reader, typed, tmp_path):
    noise = "g++ -O3 -fPIC -c selective_scan.cpp -o selective_scan.o\n" * 100_000
    text = noise + (LOGS / "no-kernel-image.txt").read_text(encoding="utf-8") + noise
    (tmp_path / "build.log").write_text(text, encoding="utf-8")
    reader.page.evaluate(
        "window.longest = 0; let last = performance.now(); window.ticking = setInterval(() => {"
        " const now = performance.now(); window.longest = Math.max(window.longest, now - last); last = now; }, 20)"
    )
    reader.open("build.log", text.encode())
    reader.page.locator("#explain-given", has_text=f"build.log: {len(text) / 1e6:.1f} MB").wait_for()
    reader.page.evaluate("window.longest = 0")
    assert reader.explain() == typed("explain", tmp_path / "build.log")
    assert (
        reader.page.evaluate("clearInterval(window.ticking), window.longest") < 2000
    )  # milliseconds; reading takes longer


def test_a_long_paste_stays_beside_the_box(reader):
    text = (LOGS / "macos.txt").read_text(encoding="utf-8") + "x" * 300_000
    reader.page.locator("#explain-text").focus()
    reader.page.evaluate("text => navigator.clipboard.writeText(text)", text)
    reader.page.keyboard.press("Control+V")
    reader.page.locator("#explain-given").wait_for()
    assert reader.page.locator("#explain-given").inner_text().startswith("Pasted text: 30")
    assert reader.page.locator("#explain-text").input_value() == ""
    assert "found:" in reader.explain()


def test_the_page_is_used_by_keyboard_and_told_to_a_screen_reader(reader):
    box = reader.page.get_by_label("Build log, traceback, error message, or machine.json")
    box.focus()
    box.fill((LOGS / "macos.txt").read_text(encoding="utf-8"))
    assert reader.page.locator("#explain-status").get_attribute("role") == "status"
    reader.page.keyboard.press("Tab")
    assert reader.page.evaluate("document.activeElement.textContent") == "Explain"
    reader.page.keyboard.press("Tab")
    assert reader.page.evaluate("document.activeElement.labels[0].textContent") == "Open a file"
    box.focus()
    reader.page.keyboard.press("Control+Enter")
    reader.answer()
    assert reader.page.evaluate("document.activeElement.textContent") == "Answer of explain"
    assert reader.page.get_by_role("region", name="Answer of explain").is_visible()


def test_a_dropped_file_is_taken(reader):
    reader.page.evaluate(
        "() => { const files = new DataTransfer(); files.items.add(new File(['nvcc was not found.'], 'build.log'));"
        " document.getElementById('explain').dispatchEvent(new DragEvent('drop', { dataTransfer: files, bubbles: true })); }"
    )
    reader.page.locator("#explain-given").wait_for()
    assert reader.page.locator("#explain-given").inner_text() == "build.log: 19 B"


def test_nothing_leaves_the_browser(reader, address):
    """Every request of the pasted logs went to the site; the policy holds for the page and for its worker."""
    reader.give("nvcc was not found.")
    reader.explain()
    own = (f"{address}/", f"blob:{address}/", "data:")
    assert [url for url in reader.asked if not url.startswith(own)] == []
    assert any(url.endswith("/pyodide.asm.wasm") for url in reader.asked)  # the worker's requests are among them
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0.5)
        elsewhere = f"http://127.0.0.1:{other.getsockname()[1]}/"
        program = f"fetch('{elsewhere}', {{mode: 'no-cors'}}).then(() => 'sent', error => String(error))"
        assert "Failed to fetch" in reader.page.evaluate(program)
        (worker,) = [item for item in reader.page.workers if item.url.startswith("blob:")]
        assert "Failed to fetch" in worker.evaluate(program)
        image = f"new Promise(ended => {{ const made = new Image(); made.onload = made.onerror = () => ended(1); made.src = '{elsewhere}'; }})"
        reader.page.evaluate(image)
        with pytest.raises(TimeoutError):
            other.accept()
    reader.errors.clear()  # the browser's words on what it forbade


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("name", "button"), [("explain.html", "Explain"), ("zh/explain.html", "分析")])
def test_on_a_phone_nothing_scrolls_sideways(browser, address, name, button, scheme):
    reader = Reader(browser, address, name, viewport=PHONE, has_touch=True, color_scheme=scheme)
    reader.give((LOGS / "undefined-symbol-other-torch.txt").read_text(encoding="utf-8"))
    reader.page.get_by_role("button", name=button, exact=True).tap()
    lines = reader.answer().splitlines()
    for place in ("document.documentElement", "document.querySelector('.explain-lines')"):
        assert reader.page.evaluate(f"{place}.scrollWidth <= {place}.clientWidth"), place
    assert reader.page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    causes = [line for line in lines if line.startswith((" " * 10, "cause:"))]
    assert max(map(len, causes)) <= 50  # wrapped for this width, by the backend
    for made in reader.page.locator("#explain-answer button").all():
        assert min(made.bounding_box()["width"], made.bounding_box()["height"]) >= 24  # WCAG 2.2, target size
    assert reader.errors == []
    reader.context.close()


def test_the_chinese_page_speaks_chinese(browser, address):
    reader = Reader(browser, address, "zh/explain.html")
    reader.page.get_by_role("button", name="分析", exact=True).click()
    assert reader.refusal() == "还没有内容。请粘贴日志，或打开一个文件。"
    assert reader.page.locator("#explain").get_attribute("lang") == "zh-Hans"
    assert reader.errors == []
    reader.context.close()


def test_a_reader_can_stop_and_start_again(browser, address):
    reader = Reader(browser, address)
    reader.give("nvcc was not found.")
    reader.page.locator("#explain button[type=submit]").click()
    reader.page.get_by_role("button", name="Stop").click()
    assert reader.status() == "Stopped."
    assert "found:" in reader.explain()
    reader.context.close()


def test_a_lost_connection_is_told_and_the_next_try_works(browser, address):
    reader = Reader(browser, address)
    reader.page.locator("#explain form").wait_for()
    reader.context.route("**/python_stdlib.zip", lambda route: route.abort())
    reader.give("nvcc was not found.")
    reader.page.locator("#explain button[type=submit]").click()
    assert reader.refusal().startswith("Python could not be loaded (")
    reader.context.unroute("**/python_stdlib.zip")
    assert "found:" in reader.explain()
    reader.context.close()


def test_a_fault_of_the_backend_is_told_without_a_traceback(browser, address):
    reader = Reader(browser, address)
    program = "def answer_json(name, data, width):\n    raise KeyError('sm_90')\n"
    reader.context.route("**/answer.py", lambda route: route.fulfill(body=program))
    reader.give("nvcc was not found.")
    reader.page.locator("#explain button[type=submit]").click()
    assert reader.refusal().startswith(
        "The answer failed: KeyError: 'sm_90'. Please report this with the log, and run: "
    )
    assert reader.page.get_by_role("button", name="Explain", exact=True).is_enabled()
    reader.context.close()


@pytest.fixture(scope="module")
def plain_site(tmp_path_factory):
    """The site as anybody builds it offline, without Pyodide."""
    folder = tmp_path_factory.mktemp("plain") / "site"
    run(sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder, env=quiet(), cwd=ROOT)
    return folder


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("explain.html", "This copy of the site was built without Python, so this page cannot answer. Run instead:"),
        ("zh/explain.html", "当前站点构建时没有包含 Python，本页无法分析。请改为运行："),
    ],
)
def test_a_site_that_was_built_without_python_says_what_to_run(browser, plain_site, name, told):
    with served(plain_site) as address:
        reader = Reader(browser, address, name)
        reader.page.locator("[data-fallback]", has_text=told).wait_for()
        assert "python -m mamba_build_backend explain < build.log" in reader.page.locator("#explain").inner_text()
        assert reader.errors == []
        reader.context.close()


@pytest.mark.parametrize("name", ["explain.html", "zh/explain.html"])
def test_a_page_that_was_opened_from_a_folder_says_what_to_do(browser, site, name):
    reader = Reader(browser, site.as_uri(), name)
    shown = reader.page.locator("#explain").inner_text()
    assert "python -m http.server" in shown and f"http://localhost:8000/{name}" in shown
    assert "python -m mamba_build_backend explain < build.log" in shown
    # The policy lets the page have its style here, too.
    assert reader.page.evaluate("getComputedStyle(document.querySelector('.md-header')).position") == "sticky"
    reader.context.close()


def test_a_copied_block_of_the_documentation_has_no_prompts(browser, address):
    reader = Reader(browser, address)
    button = reader.page.locator(
        ".highlight button.md-code__button[data-clipboard-target], .highlight .md-clipboard"
    ).first
    button.click()
    assert reader.page.evaluate("navigator.clipboard.readText()").strip() == (
        "python -m pip install -v mamba-ssm 2>&1 | tee build.log"
    )
    reader.context.close()


@pytest.mark.parametrize("name", ["explain.html", "zh/explain.html"])
def test_the_policy_admits_the_pages_own_scripts_alone(site, name):
    html = (site / name).read_text(encoding="utf-8")
    assert page_policy.policy(html) in html
    assert "unsafe-inline' 'self" not in html and "'unsafe-eval'" not in html
    assert "Content-Security-Policy" not in (site / "index.html").read_text(encoding="utf-8")


def test_the_archive_holds_the_licences_of_what_is_in_it(site):
    with zipfile.ZipFile(site / "explain" / "backend.zip") as archive:
        names = archive.namelist()
    for start in ("mamba_build_backend-", "packaging-", "platformdirs-"):
        assert any(name.startswith(start) and "LICENSE" in name for name in names), start
    assert json.loads((site / "explain/pyodide/package.json").read_text(encoding="utf-8"))["license"] == "MPL-2.0"
    assert not any(Path(name).suffix == ".pyc" for name in names)


@pytest.mark.parametrize("where", ["http", "file"])
@pytest.mark.parametrize("start", ["index.html", "explain.html"])
@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("bare_metal_version", "troubleshooting.html"),
        ("GLIBC_2.32", "troubleshooting.html"),
        ("显卡", "zh/troubleshooting.html"),
    ],
)
def test_the_search_finds_what_a_reader_types(browser, address, site, where, start, word, found):
    reader = Reader(browser, address if where == "http" else site.as_uri(), start)
    box = reader.page.locator("[data-md-component=search-query]")
    box.click()
    box.fill(word)
    box.press("End")  # the theme listens to keys, and an input method's last one is a key
    other = ":not([href*='/zh/'])" if "/" not in found else ""
    reader.page.locator(f".md-search-result__link[href*='/{found}']{other}").first.wait_for()
    if where == "http":
        assert reader.errors == []
    reader.context.close()
