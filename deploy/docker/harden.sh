#!/bin/sh
# Remove from an image what serving does not need and an intruder could use: what installs packages, and the right to
# become root by calling a program.
set -eu
python=$(readlink -f "$(command -v python3)")
"$python" -I - <<'END'
import importlib.util, pathlib, shutil

for name in ("pip", "setuptools", "_distutils_hack", "pkg_resources", "wheel", "ensurepip"):
    spec = importlib.util.find_spec(name)
    if spec is not None and spec.origin is not None:
        place = pathlib.Path(spec.origin).parent
        shutil.rmtree(place)
        for record in place.parent.glob(f"{name}-*-info"):
            shutil.rmtree(record, ignore_errors=True)
        (place.parent / "distutils-precedence.pth").unlink(missing_ok=True)
for folder in ("/usr/local/bin", "/usr/bin"):
    for program in pathlib.Path(folder).glob("pip*"):
        program.unlink()
END
find / -xdev -type f -perm /6000 -exec chmod a-s {} +
