"""A plugin of pytest for a Python without torch (`-p without_torch`): what asks for it or starts Snakemake is skipped.

A file of tests that cannot be imported without torch is skipped as a whole, a test that asks for it later alone; the
tiny run asks for it in processes of its own. Nor is Snakemake started: it is another project's, with Pythons of its
own, and takes longer than all the rest.
"""

from contextlib import contextmanager

import pytest


@contextmanager
def skip_what_asks_for_torch():
    try:
        yield
    except (ModuleNotFoundError, pytest.Collector.CollectError) as error:
        missing = error.__cause__ if isinstance(error, pytest.Collector.CollectError) else error
        if isinstance(missing, ModuleNotFoundError) and missing.name == "torch":
            pytest.skip("needs torch", allow_module_level=True)
        raise


class ModuleOfTests(pytest.Module):
    def collect(self):
        with skip_what_asks_for_torch():
            return super().collect()


def pytest_pycollect_makemodule(module_path, parent):
    return ModuleOfTests.from_parent(parent, path=module_path)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    if "tiny_run" in item.fixturenames:
        pytest.skip("needs torch")
    with skip_what_asks_for_torch():
        return (yield)


def pytest_configure():
    from helpers import running  # on the path by now

    running.run_snakemake = lambda *_: pytest.skip("starts Snakemake")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call():
    with skip_what_asks_for_torch():
        return (yield)
