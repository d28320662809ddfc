"""The error of the door: everything that is wrong with what the user gives, told at once."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class InvalidInput(Exception):
    """Everything that is wrong with the configuration or the tables, one sentence a line."""

    def __init__(self, errors: list[str]):
        self.errors = errors
        count = "1 problem" if len(errors) == 1 else f"{len(errors)} problems"
        super().__init__(f"{count} in the input; nothing was started\n" + "\n".join(f"  - {error}" for error in errors))


@contextmanager
def together_with(errors: Sequence[str]) -> Iterator[None]:
    """Raise InvalidInput with `errors` and those of the block, if there are any."""
    told = list(errors)
    try:
        yield
    except InvalidInput as error:
        told += error.errors
    if told:
        raise InvalidInput(told)
