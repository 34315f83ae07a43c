"""From an operating system error to what happens next."""

import errno

from adapter_sdk.errors import AdaptorError, BackendUnavailable, PermanentError, TransientError

# The place is at fault, not the event: it will do again once somebody mounts, frees or permits.
_PLACE = frozenset(
    {
        errno.EACCES,
        errno.EDQUOT,
        errno.EIO,
        errno.ENODEV,
        errno.ENOENT,
        errno.ENOSPC,
        errno.ENOTCONN,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
        errno.ESTALE,
        errno.EXDEV,
    }
)
_EVENT = frozenset({errno.EFBIG, errno.EILSEQ, errno.EISDIR, errno.ENAMETOOLONG})


def translate(error: OSError, doing: str) -> AdaptorError:
    """The toolkit's error for what failed while `doing`, its cause attached; to be raised or kept as an outcome."""
    code = errno.errorcode.get(error.errno or 0)
    translated = _kind(error)(f"{doing}: {error.strerror or error or type(error).__name__}" + f" ({code})" * bool(code))
    translated.__cause__ = error
    return translated


def _kind(error: OSError) -> type[AdaptorError]:
    if error.errno in _PLACE or isinstance(error, (ConnectionError, TimeoutError)):
        return BackendUnavailable
    return PermanentError if error.errno in _EVENT else TransientError
