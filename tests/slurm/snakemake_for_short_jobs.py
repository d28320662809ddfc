"""Snakemake that goes on asking SLURM as often as the profile says how its jobs are.

By itself it waits 10 s longer each time that none has ended, which would be much of the time of a test's jobs.
"""

from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor


def _as_the_profile_says(executor: Executor) -> int:
    return executor.workflow.remote_execution_settings.seconds_between_status_checks


Executor.next_seconds_between_status_checks = property(_as_the_profile_says, lambda *_: None)

if __name__ == "__main__":
    main()
