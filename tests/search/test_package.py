"""The package is light to import, and callable like the function it is named after."""

import subprocess
import sys


def test_package_and_function_are_one_name() -> None:
    program = (
        "import ofa_pose\n"
        "function = ofa_pose.search\n"
        "import ofa_pose.search\n"
        "import inspect\n"
        "assert ofa_pose.search is function\n"
        "assert 'budgets' in inspect.signature(function).parameters\n"
        "for call in (function, ofa_pose.search):\n"
        "    try:\n"
        "        call(None, None, budgets={}, costs={})\n"
        "    except ofa_pose.OfaPoseError as error:\n"
        "        assert 'a search space is needed' in str(error)\n"
        "    else:\n"
        "        raise SystemExit('not called')\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_import_loads_nothing_heavy() -> None:
    program = (
        "import sys, ofa_pose.search\n"
        "heavy = {'torch', 'pandas', 'matplotlib', 'cv2', 'deap.creator'} & set(sys.modules)\n"
        "raise SystemExit(f'loaded {heavy}' if heavy else 0)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
