"""Functions of every sort, for generated modules: X is a number, K a constant, and each is called by ``call_X``."""

from __future__ import annotations

SORTS = (
    """
def plain_X(n=K):
    return n + K

def call_X():
    return plain_X() + plain_X(K)
""",
    """
class ClassX:
    \"\"\"Doc K.\"\"\"
    LEVEL = K

    def __init__(self):
        self.number = K

    def method(self):
        return self.number + K

    @property
    def shown(self):
        return self.method() * K

    @classmethod
    def make(cls):
        return cls()

    @staticmethod
    def alone():
        return K

class LowerX(ClassX):
    def __init__(self):
        super().__init__()
        self.number += K

def call_X():
    return LowerX.make().shown + ClassX.alone() + len(ClassX.__doc__) + ClassX.LEVEL
""",
    """
@functools.lru_cache
def cached_X(n):
    return n * K

def call_X():
    return cached_X(K) + cached_X(2)
""",
    """
def around_X(factor=K):
    def decorate(function):
        def wrapper(*args):
            return function(*args) + factor + K
        return wrapper
    return decorate

@around_X(K)
def decorated_X():
    return K

def call_X():
    return decorated_X()
""",
    """
def numbers_X():
    yield K
    yield from (n + K for n in range(2))

def call_X():
    return sum(numbers_X()) + next(numbers_X())
""",
    """
async def awaited_X():
    await asyncio.sleep(0)
    return K

async def main_X():
    return await awaited_X() + sum([n async for n in stream_X()])

async def stream_X():
    yield K

def call_X():
    return asyncio.run(main_X())
""",
    """
@contextlib.contextmanager
def entered_X():
    LEFT.append(K)
    try:
        yield K
    finally:
        LEFT.pop()

def call_X():
    with entered_X() as n:
        return n + LEFT[-1]
""",
    """
def key_X(n):
    return -n + K

def call_X():
    return sorted([1, 2, K], key=key_X)[0] * 3 + functools.reduce(lambda a, b: a + b + K, [1, 2])
""",
    """
def replaced_X(match):
    return str(K)

def call_X():
    return int(re.sub("a", replaced_X, "1a2"))
""",
    """
class MetaX(type):
    def __new__(meta, name, bases, space):
        space["level"] = K
        return super().__new__(meta, name, bases, space)

class MadeX(metaclass=MetaX):
    def __init_subclass__(cls):
        cls.depth = K

class SubX(MadeX):
    pass

def call_X():
    return SubX.level + SubX.depth
""",
    """
class CellX:
    @functools.cached_property
    def value(self):
        return K

    def __getattr__(self, name):
        return K

    def __del__(self):
        GONE.append(K)

def call_X():
    cell = CellX()
    found = cell.value + cell.value + cell.other
    del cell
    return found + GONE[-1]
""",
    """
def body_X(into):
    into.append(K)

def call_X():
    into = []
    thread = threading.Thread(target=body_X, args=(into,))
    thread.start()
    thread.join()
    return into[0]
""",
    """
def deep_X(n):
    return K if n <= 0 else deep_X(n - 1) + 1

def call_X():
    return deep_X(5)
""",
    """
def made_X():
    space = {}
    exec("def inner(): return K", space)
    return space["inner"]() + eval("K")

def call_X():
    return made_X()
""",
    """
def first_X():
    return K

VALUE_X = first_X()

def call_X():
    return VALUE_X
""",
    """
def text_X():
    return K  # a comment

def call_X():
    return zlib.crc32(inspect.getsource(text_X).encode()) % 100
""",
    """
def asked_X():
    \"\"\"Says K.\"\"\"
    return K

def call_X():
    return sum(n for n in asked_X.__code__.co_consts if isinstance(n, int)) + len(asked_X.__doc__)
""",
    """
def default_X():
    return K

def given_X(n=default_X(), *, m=K):
    return n + m

def call_X():
    return given_X() + inspect.signature(given_X).parameters["m"].default
""",
    """
def traced_X():
    return K

def call_X():
    seen = []
    sys.setprofile(lambda frame, event, arg: seen.append(event))
    try:
        traced_X()
    finally:
        sys.setprofile(None)
    return traced_X() + (len(seen) > 0)
""",
    """
def outer_X():
    kept = K
    def middle():
        def inner():
            return kept + K
        return inner
    return middle()

def call_X():
    return outer_X()()
""",
    """
def put_X(key):
    STATE.setdefault(key, []).append(K)

def got_X(key):
    return sum(STATE.get(key, [K]))

def call_X():
    return K
""",
    """
def maybe_X():
    if K > 5:
        return hidden_X()
    return K

def hidden_X():
    return K

def call_X():
    return maybe_X()
""",
    """
class DescribedX:
    def __set_name__(self, owner, name):
        self.level = K

    def __get__(self, instance, owner):
        return self.level + K

class HolderX:
    field = DescribedX()

def call_X():
    return HolderX.field + HolderX().field
""",
    """
def never_X():
    return K

def paused_X():
    kept = never_X
    yield K

def call_X():
    return len([paused_X()]) + K
""",
)

#: A function that calls one of an earlier module.
