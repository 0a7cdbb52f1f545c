"""What a worker raises reaches the user as the sentence that it was."""

from __future__ import annotations

from ray.exceptions import RayError, RayTaskError

from pipeline.labeling.dataflow import user_error
from pipeline.runtime.errors import StorageError


def raised_by_ray(error: Exception) -> RayError:
    """As the driver meets what a task of it raised."""
    task = RayTaskError("read_units", "Traceback: many lines", error)  # type: ignore[no-untyped-call]
    found: RayError = task.as_instanceof_cause()  # type: ignore[no-untyped-call]
    return found


def test_an_error_of_ours_comes_without_what_ray_adds() -> None:
    ours = StorageError("s3://bucket/in: access is denied")
    raised = raised_by_ray(ours)
    assert isinstance(raised, StorageError)
    outer = RuntimeError("the execution failed")
    outer.__cause__ = raised
    assert user_error(raised) is ours
    assert user_error(outer) is ours


def test_of_an_error_of_which_only_the_text_is_left_that_of_ray_is_cut_off() -> None:
    text = (
        "ray::MapWorker.submit()\npipeline.runtime.errors.StorageError: out/a: the disk is full:\n"
        "  make room\n\nThe above exception was the direct cause of the following exception:\n"
    )
    found = user_error(RayError(text))
    assert (type(found), str(found)) == (StorageError, "out/a: the disk is full:\n  make room")


def test_a_bug_stays_what_it_is() -> None:
    raised = raised_by_ray(KeyError("x"))
    assert user_error(raised) is raised
