"""The machine is named in one line."""

import platform

from chappe.bench.machine import describe, processor


def test_a_line_names_processor_cores_kernel_and_python() -> None:
    line = describe()
    assert line.startswith(processor())
    assert " core" in line
    assert platform.release() in line
    assert platform.python_version() in line
    assert "\n" not in line
