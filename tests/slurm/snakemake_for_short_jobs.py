"""Snakemake that goes on asking SLURM as often as the profile says how its jobs are.

By itself it waits 10 s longer each time that none has ended, which would be much of the time of a test's jobs. Each
time that it has asked, it leaves the file `.snakemake/asked`: from then until it asks again it has a list of its jobs.
"""

import asyncio
from pathlib import Path

from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor


async def _sleep_as_the_profile_says(executor: Executor) -> None:
    Path(".snakemake/asked").touch()
    await asyncio.sleep(executor.workflow.remote_execution_settings.seconds_between_status_checks)


Executor.sleep = _sleep_as_the_profile_says

if __name__ == "__main__":
    main()
