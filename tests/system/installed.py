"""The wheel, built from this checkout and installed as a packager or an admin would."""

import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


def build_wheel(folder: Path) -> Path:
    """The wheel of this checkout; what builds it is in the lock file, nothing is fetched."""
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*build, str(CHECKOUT)], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


@dataclass(frozen=True)
class InstalledWheel:
    """A virtual environment that holds the wheel, and sees the locked packages of this one."""

    folder: Path
    wheel: Path

    @classmethod
    def make(cls, folder: Path, wheel: Path) -> "InstalledWheel":
        made = cls(folder, wheel)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        # A path in a .pth file offers the packages there, but not the checkout, which is
        # installed beside them by a .pth file of its own: those are not followed twice.
        locked = sysconfig.get_path("purelib")
        (made.site_packages / "locked.pth").write_text(f"{locked}\n")
        pip = [sys.executable, "-m", "pip", "--python", str(made.python), "install"]
        options = ["--quiet", "--no-index", "--no-deps", "--ignore-installed"]
        subprocess.run([*pip, *options, str(wheel)], check=True)
        return made

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def site_packages(self) -> Path:
        (found,) = self.folder.glob("lib/python*/site-packages")
        return found

    def run(self, folder: Path, program: str, *words: str, **environ: str) -> str:
        """What a program of the environment prints, started in `folder`; it must succeed."""
        clean = {
            k: v for k, v in os.environ.items() if not k.startswith(("CRM_SYNC", "PYTHONPATH"))
        }
        result = subprocess.run(
            [str(self.folder / "bin" / program), *words],
            cwd=folder,
            env=clean | environ,
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (result.returncode, result.stderr) == (0, ""), (result.stdout, result.stderr)
        return result.stdout
