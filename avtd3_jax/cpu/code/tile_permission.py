"""The kernel's leave to use AMX's tiles."""

import ctypes
import platform

_ARCH_PRCTL, _REQ_XCOMP_PERM, _XTILEDATA = 158, 0x1023, 18  # asm/unistd_64.h, asm/prctl.h, and the state's number


def tiles_permitted() -> bool:
    """Asks for the tiles' state, for all threads: Linux wants to be asked before a process's first use (5.16)."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return False
    return bool(ctypes.CDLL(None).syscall(_ARCH_PRCTL, _REQ_XCOMP_PERM, _XTILEDATA) == 0)
