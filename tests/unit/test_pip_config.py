"""pip's configuration, as far as it says where packages come from."""

import os

from mamba_build_backend.source import pip_config


def test_pip_configuration_is_merged_in_the_order_of_pip(tmp_path):
    user, override = tmp_path / "home/.config/pip/pip.conf", tmp_path / "override.conf"
    user.parent.mkdir(parents=True)
    user.write_text(
        "[global]\nindex-url = https://user.example/simple\nextra-index-url =\n  https://a.example\n  https://b.example\ntimeout = 60\n"
    )
    override.write_text("[global]\nindex_url = https://override.example/simple\n[install]\ntrusted-host = h.example\n")
    environ = {"HOME": str(tmp_path / "home"), "XDG_CONFIG_DIRS": str(tmp_path / "none")}
    config = pip_config.read_index_config(environ, prefix=str(tmp_path))
    assert config.index_urls == ("https://user.example/simple",)
    assert config.timeout == 60
    config = pip_config.read_index_config(
        {**environ, "PIP_CONFIG_FILE": str(override), "PIP_CERT": "/ca.pem"}, prefix=str(tmp_path)
    )
    assert config.index_urls == ("https://override.example/simple",)
    assert config.extra_index_urls == ("https://a.example", "https://b.example")
    assert (config.trusted_hosts, config.cert) == (("h.example",), "/ca.pem")
    config = pip_config.read_index_config(
        {**environ, "PIP_INDEX_URL": "https://env.example/simple"}, prefix=str(tmp_path)
    )
    assert config.index_urls == ("https://env.example/simple",)


def test_uv_variables_count_without_a_pip_setting():
    config = pip_config.read_index_config(
        {"PIP_CONFIG_FILE": os.devnull, "UV_DEFAULT_INDEX": "https://uv.example/simple"}
    )
    assert config.index_urls == ("https://uv.example/simple",)
