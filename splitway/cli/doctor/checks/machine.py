"""What the machine, or the container on it, gives: memory, cores, places to write, file descriptors."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from splitway.cli.doctor.checks.result import Result, ok, problem, warning
from splitway.manifest import Manifest

MIB = 1024 * 1024
_PROCESS = 100 * MIB
"""What gateway or stage holds without engines; measured: 97 and 98 MB."""
_ENGINE_COPIES = 2.2
"""How often an engine holds its file: as it is, packed for the processor, and what lies between the layers."""
_TENSORFLOW = 600 * MIB
_DISK = 1024 * MIB
"""A model that is split lies there as source, as bundles, and meanwhile beside them."""
_DESCRIPTORS = 1024
_UNLIMITED = 1 << 60


@dataclass(frozen=True)
class Memory:
    """Bytes that can still be taken, and the control group's limit where it is what bounds them."""

    free: int
    limit: int | None = None


def read_memory(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> Memory | None:
    """The machine's free memory, or what the control groups leave if that is less; None where nothing says so."""
    try:
        match = re.search(r"MemAvailable:\s+(\d+) kB", (proc / "meminfo").read_text(encoding="ascii"))
        groups = (proc / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    if match is None:
        return None
    memory = Memory(int(match.group(1)) * 1024)
    for limited in _limits(groups, cgroup):
        memory = min(memory, limited, key=lambda each: each.free)
    return memory


def _limits(groups: Iterable[str], cgroup: Path) -> Iterable[Memory]:
    """What each group that this process is in leaves of its limit, up to the root; version 2, or else version 1."""
    paths = {names: path for _, names, path in (line.split(":", 2) for line in groups)}
    if (cgroup / "memory").is_dir():
        root, own = cgroup / "memory", paths.get("memory", "/")
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    else:
        root, own = cgroup, paths.get("", "/")
        names = ("memory.max", "memory.current", "inactive_file")
    folder = root / own.lstrip("/")
    for group in (folder, *folder.parents):
        if group.is_relative_to(root) and (found := _limit(group, *names)):
            yield found


def _limit(group: Path, limit: str, usage: str, reclaimable: str) -> Memory | None:
    try:
        most, used = (int((group / name).read_text(encoding="ascii")) for name in (limit, usage))
        cached = re.search(rf"^{reclaimable} (\d+)", (group / "memory.stat").read_text(encoding="ascii"), re.MULTILINE)
    except (OSError, ValueError):  # no such group seen from here, or "max"
        return None
    free = most - used + (int(cached.group(1)) if cached else 0)
    return Memory(max(0, free), most) if most < _UNLIMITED else None


def needed_bytes(manifests: Iterable[Manifest], cores: int) -> int:
    """About what the gateway and one replica of each stage hold: an extractor has an engine a core and one for all."""
    total, stages = _PROCESS, set()
    for manifest in manifests:
        stages.add(manifest.name if manifest.role != "head" else manifest.role)
        files = sum(file.size for file in manifest.engine_files if file.engine == manifest.engine)
        engines = cores + 1 if manifest.role == "extractor" and manifest.engine == "litert" else 1
        total += round(files * _ENGINE_COPIES * engines) + _TENSORFLOW * (manifest.engine == "tensorflow")
    return total + _PROCESS * len(stages)


def memory(free: Memory | None, needed: int, held: int = 0) -> Result:
    """Whether the stages fit.

    Args:
        free: what there is.
        needed: what gateway and stages take, about.
        held: what those that run already take of it.
    """
    if free is None:
        return ok("memory", "this system does not say how much memory is free")
    within = "" if free.limit is None else f" within the container's limit of {_mib(free.limit)}"
    says = f"{_mib(free.free)} are free{within}; gateway and stages take about {_mib(needed)}"
    missing = needed - held - free.free
    if missing > 0:
        do = "raise the container's limit" if free.limit is not None else "end something else, or take a larger machine"
        return problem("memory", says, f"{do}: {_mib(missing)} are missing")
    return ok("memory", f"{says}, {_mib(held)} of it already" if held else says)


def held_bytes(pids: Iterable[int], proc: Path = Path("/proc")) -> int:
    """Resident memory of these processes, as far as it can be read."""
    total = 0
    for pid in pids:
        try:
            match = re.search(r"VmRSS:\s+(\d+) kB", (proc / str(pid) / "status").read_text(encoding="utf-8"))
        except OSError:
            continue
        total += int(match.group(1)) * 1024 if match else 0
    return total


def cores(available: int, environment: Mapping[str, str]) -> Result:
    """How many cores there are, and whether the engines are told to use more."""
    threads = environment.get("SPLITWAY_THREADS", "")
    if threads.isdigit() and int(threads) > available:
        says = (
            f"SPLITWAY_THREADS={threads}, and this process may use {available} cores: the threads wait for each other"
        )
        return warning("cores", says, f"unset it, or set it to {available} at most")
    if available == 1:
        return ok("cores", "one core, for gateway and engines together: about half of what two give")
    return ok("cores", f"{available} cores")


def disk(folder: Path) -> Result:
    """Whether there is room for bundles."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < _DISK:
        says = f"{_mib(free)} are free where {folder} is: splitting a model or keeping two versions may not fit"
        return warning("disk", says, f"make room; {_mib(_DISK)} is enough for most models")
    return ok("disk", f"{_mib(free)} are free where {folder} is")


def writable(name: str, folder: Path, what_for: str, do: str) -> Result:
    """Whether a file can be made there; in the nearest folder above if it is not there yet."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            return ok(name, f"{what_for} can be written in {folder}")
    except OSError as error:
        return problem(name, f"{what_for} cannot be written in {folder}: {error.strerror}", do)


def temporary() -> Result:
    """Whether there is a place for temporary files, which models are split in."""
    do = "set TMPDIR to a writable folder"
    named = os.environ.get("TMPDIR")
    if named and not Path(named).is_dir():
        return warning("temporary files", f"TMPDIR={named} is not a folder: another is used", do)
    try:
        return writable("temporary files", Path(named or tempfile.gettempdir()), "temporary files", do)
    except FileNotFoundError:  # none of the usual places takes a file
        return problem("temporary files", "there is no folder to write temporary files in", do)


def descriptors(soft: int, hard: int) -> Result:
    """Whether a gateway may hold as many connections as it lets in, and as many again to its stages."""
    if soft == -1 or soft >= _DESCRIPTORS:
        return ok(
            "open files", "any number of files and connections" if soft == -1 else f"{soft} files and connections"
        )
    says = f"a process may hold {soft} files and connections: too few for a gateway under load"
    most = _DESCRIPTORS if hard == -1 else min(hard, _DESCRIPTORS)
    return warning("open files", says, f"ulimit -n {most}" if most > soft else "raise LimitNOFILE or ulimits: nofile")


def _mib(size: int) -> str:
    return f"{size / MIB:,.0f} MiB".replace(",", " ") if size < 10 * 1024 * MIB else f"{size / MIB / 1024:,.0f} GiB"
