"""A session as in a notebook, of cells that define things and calls that run beside it: python notebook_session.py

Each call is a process that begins with the same warm imports and nothing else, so that no cell spoils another.
"""

from __future__ import annotations

import statistics

from pytest_hotreload import IsolatedDeath, IsolatedTimeout, isolate_imports

# [1] What the cells share. Any installed package will do; its imports are what is held.
environment = isolate_imports("statistics")
SAMPLE = [2.5, 3.25, 5.5, 11.25]


# [2] A function of the session travels by value, with what it refers to.
def spread(factor: float) -> float:
    print(f"spread of {len(SAMPLE)} values")
    return statistics.pstdev(SAMPLE) * factor


cell = environment.exec(spread, 2)
print(round(environment.communicate_isolated(cell), 3), cell.stdout.strip())


# [3] What a call changes, it changes for itself.
def spoil() -> int:
    SAMPLE.clear()
    return len(SAMPLE)


print(environment.exec(spoil).result(), len(SAMPLE))


# [4] Not even its death is the session's.
def crash() -> None:
    import os
    import signal

    os.kill(os.getpid(), signal.SIGSEGV)


try:
    environment.exec(crash, name="cell 4").result()
except IsolatedDeath as death:
    print(str(death).split(" (pid")[0], death.returncode)


# [5] Nor does it have to be waited for.
def forever() -> None:
    while True:
        pass


try:
    environment.exec(forever, timeout=0.2).result()
except IsolatedTimeout:
    print("gave up")

# [6] Several at once, awaited or not.
cells = [environment.exec(pow, 2, number) for number in range(4)]
print([cell.result() for cell in cells])
environment.close()
