"""Owns the trial of the API's description: schemathesis asks for all that it allows, and for what it does not.

python openapi.py DESCRIPTION GATEWAY TOKEN [TASK_ID]       ends with 0 where the gateway does what it says
"""

import pathlib
import subprocess
import sys
import tempfile

description, gateway, token, *task = sys.argv[1:]
settings = f'[parameters]\n"path.id" = "{task[0]}"\n' if task else ""
with tempfile.TemporaryDirectory() as directory:
    # The settings are read from where it runs, and so is its memory kept.
    pathlib.Path(directory, "schemathesis.toml").write_text(settings)
    command = pathlib.Path(sys.executable).with_name("st")
    arguments = ["run", description, "--url", gateway, "--header", f"Authorization: Bearer {token}"]
    # A 504 after a wait of 100 ms is no fault of the gateway, and described. Other server errors are not described.
    checks = ["--exclude-checks", "not_a_server_error"]
    bounds = ["--phases", "coverage,fuzzing", "--max-examples", "10", "--seed", "1", "--request-timeout", "20"]
    sys.exit(subprocess.run([command, *arguments, *checks, *bounds, "--no-color"], cwd=directory, check=False).returncode)
