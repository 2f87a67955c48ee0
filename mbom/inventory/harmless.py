"""Which globals a pickle of weights may name, and which show what somebody is after.

The list of harmless ones decides: whatever is not on it is reported. The other only orders the report, because no list
of what is dangerous is ever complete.

Sources, read in November 2026: what ``torch.load(weights_only=True)`` of PyTorch 2.13 takes
(torch/_weights_only_unpickler.py, https://github.com/pytorch/pytorch), less what calls a function that it is given;
what NumPy 1 and 2 and the standard library write for arrays, sets and dates.
"""

from collections.abc import Iterable


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_TYPES = _words("BFloat16 Bool Byte Char Double Float Half Int Long Short")
_STORED_TYPES = _words("ComplexDouble ComplexFloat QInt32 QInt8 QUInt2x4 QUInt4x2 QUInt8")
_TORCH = _words("""
    Size Tensor device bfloat16 bool complex128 complex32 complex64 float16 float32 float64 float4_e2m1fn_x2
    float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu int8 int16 int32 int64 uint8 uint16
    uint32 uint64 qint32 qint8 quint2x4 quint4x2 quint8 per_channel_affine per_channel_affine_float_qparams
    per_channel_symmetric per_tensor_affine per_tensor_symmetric nn.parameter.Parameter
    serialization._get_layout storage.TypedStorage storage.UntypedStorage
""")
_REBUILDS = _words("""
    _rebuild_device_tensor_from_cpu_tensor _rebuild_device_tensor_from_numpy _rebuild_meta_tensor_no_storage
    _rebuild_nested_tensor _rebuild_parameter _rebuild_parameter_with_state _rebuild_qtensor
    _rebuild_sparse_tensor _rebuild_tensor _rebuild_tensor_v2 _rebuild_tensor_v3
""")
_NUMPY = _words("""
    ndarray dtype bool_ float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 str_
""")
_BUILTINS = _words("""
    bool bytearray bytes complex dict float frozenset int list object range set slice str tuple
""")

HARMLESS = frozenset({
    *(f"torch.{kind}Storage" for kind in (*_TYPES, *_STORED_TYPES)),
    *(f"torch.{kind}Tensor" for kind in _TYPES),
    *(f"torch.cuda.{kind}{what}" for kind in _TYPES for what in ("Storage", "Tensor")),
    *("torch.cuda.ComplexDoubleStorage", "torch.cuda.ComplexFloatStorage"),
    *(f"torch.{name}" for name in _TORCH),
    *(f"torch._utils.{name}" for name in _REBUILDS),
    *(f"numpy.{name}" for name in _NUMPY),
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    *(f"numpy.{core}.numeric._frombuffer" for core in ("core", "_core")),
    *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in _BUILTINS),
    *("__builtin__.long", "__builtin__.unicode", "__builtin__.xrange"),
    *("_codecs.encode", "copyreg._reconstructor", "copy_reg._reconstructor"),
    *("collections.OrderedDict", "collections.defaultdict", "collections.deque", "collections.Counter"),
    *("datetime.datetime", "datetime.date", "datetime.time", "datetime.timedelta", "datetime.timezone"),
    *("argparse.Namespace", "decimal.Decimal", "fractions.Fraction", "uuid.UUID", "types.SimpleNamespace"),
    *("pathlib.PosixPath", "pathlib.PurePosixPath", "pathlib._local.PosixPath"),
})  # fmt: skip

# Modules that run programs, code or other pickles, reach the network or the file system, or fetch any attribute.
_TELLING = frozenset(
    _words("""
    ? __builtin__ _operator _pickle _posixsubprocess _thread _winapi aiohttp asyncio bdb builtins cProfile code
    codeop commands copy_reg copyreg cloudpickle ctypes dill distutils doctest ensurepip fileinput ftplib
    functools gc getpass glob http httpx idlelib imaplib imp importlib inspect io joblib lib2to3 linecache
    logging mailbox marshal mmap multiprocessing nt ntpath nturl2path operator os pdb pickle pip pkgutil
    platform poplib posix posixpath profile pty pydoc requests runpy shelve shutil signal site smtplib socket
    socketserver sqlite3 ssl subprocess sys sysconfig telnetlib tempfile test threading timeit trace turtle
    types unittest urllib urllib2 urllib3 venv webbrowser xmlrpc zipimport
""")
)
_TELLING_NAMES = ("torch.hub", "torch.load", "torch.jit", "torch.storage._load_from_bytes", "torch.utils", "numpy.load",
                  "numpy.f2py", "numpy.distutils", "numpy.testing", "pandas.eval", "pandas.read_pickle")  # fmt: skip


def harmful(names: Iterable[str]) -> tuple[str, ...]:
    """Return the globals that are not known to be harmless, those that run something first."""
    return tuple(
        sorted((name for name in names if name not in HARMLESS), key=lambda name: (not is_telling(name), name))
    )


def is_telling(name: str) -> bool:
    """Tell whether a global can run a program, code or another pickle, by its module."""
    return name.partition(".")[0] in _TELLING or name.startswith(_TELLING_NAMES)
