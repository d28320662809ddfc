"""The configuration files of the test cluster (`cluster.Cluster`): a SLURM without cgroups, accounting or network."""

import os
import secrets
import socket
import stat
from pathlib import Path

NODES = {"cpu1": "cpu", "gpu1": "a100", "gpu2": "a100"}  # the nodes and their partitions
GPUS = 2  # of each node of the partition a100
CPUS = 8  # that a node claims to have, however many there are
MEMORY = 32000  # that a node claims to have, MB

# Waits are short. A finished job stays in the queue's list for MinJobAge seconds: it is read from there, as nothing
# else keeps account. With KillWait, 5 s pass from SIGTERM to SIGKILL. A requeued job starts again when its credential
# has expired, after cred_expire seconds. proctrack/pgid, as linuxproc loses a shell that ignores SIGTERM.
SETTINGS = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5,socket={folder}/run/munge.sock
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/spool/controller
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
PriorityType=priority/basic
GresTypes=gpu
JobRequeue=1
KillWait=5
MinJobAge=7200
SlurmctldTimeout=60
SlurmdTimeout=60
MessageTimeout=20
FirstJobId={controller_port}
PartitionName=cpu Nodes=cpu1 Default=YES MaxTime=60 DefMemPerCPU=500 State=UP
PartitionName=a100 Nodes=gpu1,gpu2 MaxTime=60 DefMemPerCPU=500 State=UP
"""

# A job that Snakemake submits has lost SLURM_CONF, as all names in SLURM_, when it calls these.
CALLED = ("srun", "squeue")
WRAPPER = """\
#!/bin/sh
SLURM_CONF={folder}/etc/slurm.conf exec {command} "$@"
"""


def write_configuration(folder: Path, ports: list[int], commands: Path) -> None:
    """Write below `folder` all that the daemons read: `ports` of the controller and of each node; and SLURM's
    `commands` (their folder) for jobs."""
    for name in ("etc", "run", "log", "dev", "bin", "spool/controller", *(f"spool/{node}" for node in NODES)):
        (folder / name).mkdir(parents=True)
    _write_key(folder / "etc/munge.key")
    controller_port, *node_ports = ports
    host = socket.gethostname().split(".")[0]
    settings = SETTINGS.format(folder=folder, host=host, controller_port=controller_port)
    nodes = [_node(name, host, port) for name, port in zip(NODES, node_ports, strict=True)]
    (folder / "etc/slurm.conf").write_text(settings + "\n".join(nodes) + "\n")
    (folder / "etc/cgroup.conf").write_text("CgroupAutomount=no\n")
    (folder / "etc/gres.conf").write_text(_gpus(folder / "dev"))
    for name in CALLED:
        (folder / "bin" / name).write_text(WRAPPER.format(folder=folder, command=commands / name))
        (folder / "bin" / name).chmod(0o755)


def make_device(path: Path) -> None:
    """Make a character device with the numbers of the null device; raises OSError where that is not allowed."""
    os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))


def _write_key(path: Path) -> None:
    path.touch(mode=0o600)
    path.write_bytes(secrets.token_bytes(1024))


def _node(name: str, host: str, port: int) -> str:
    gpus = f" Gres=gpu:a100:{GPUS}" if NODES[name] == "a100" else ""
    return f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={CPUS} RealMemory={MEMORY}{gpus}"


def _gpus(folder: Path) -> str:
    """The lines of gres.conf. SLURM numbers GPUs for CUDA_VISIBLE_DEVICES only where they are device files."""
    for number in range(GPUS):
        make_device(folder / f"nvidia{number}")
    nodes = [name for name, partition in NODES.items() if partition == "a100"]
    return "".join(f"NodeName={node} Name=gpu Type=a100 File={folder}/nvidia[0-{GPUS - 1}]\n" for node in nodes)
