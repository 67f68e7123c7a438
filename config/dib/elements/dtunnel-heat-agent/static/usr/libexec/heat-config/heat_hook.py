"""What the hooks have in common: a deployment comes as JSON on standard input, its outputs go as JSON to standard
output. Inputs reach the program as text; an output NAME is what the program leaves in the file $heat_outputs_path.NAME,
and outputs that it does not leave there are not reported.
"""
import json
import os
import re
import shutil
import subprocess
import sys

WORK = os.environ.get('HEAT_HOOK_WORK', '/var/lib/heat-config/work')
OUTPUTS = os.environ.get('HEAT_HOOK_OUTPUTS', '/run/heat-config/outputs')

# Octets of each stream and output that go to Heat: the end, where the reason stands. Heat refuses above a megabyte.
KEPT = 64 * 1024


def text_of(value):
    """An input as text: what is not text becomes JSON, but booleans and numbers read as in the template."""
    if value is None:
        return ''
    if isinstance(value, (dict, list)):
        return json.dumps(value)
    return str(value)


class Deployment:
    """The deployment on standard input, with a private folder for its files."""

    def __init__(self):
        self.config = json.load(sys.stdin)
        self.options = self.config.get('options') or {}
        self.name = re.sub(r'[^A-Za-z0-9-]', '_', str(self.config['id']))
        self.folder = os.path.join(WORK, self.name)
        self.prefix = os.path.join(OUTPUTS, self.name)
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder, mode=0o700)
        os.makedirs(OUTPUTS, mode=0o700, exist_ok=True)

    def inputs(self):
        """Inputs as text, by name; those that no program could read as a variable are left out."""
        given = {str(i.get('name')): text_of(i.get('value')) for i in self.config.get('inputs') or []}
        return {k: v for k, v in given.items() if re.fullmatch(r'[A-Za-z_][A-Za-z0-9_]*', k) and '\0' not in v}

    def write(self, name, text, mode=0o600):
        """Writes a file into the folder; yields its path."""
        path = os.path.join(self.folder, name)
        with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode), 'w', encoding='utf-8') as f:
            f.write(text)
        return path

    def run(self, program, env, succeeds=(0,)):
        """Runs a program to its end and answers with what came of it."""
        env = {**os.environ, **env, 'heat_outputs_path': self.prefix}
        folder = self.options.get('working_directory') or self.folder
        try:
            done = subprocess.run(program, cwd=folder, env=env, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        except OSError as error:
            self.answer(126, '', f'{program[0]} does not start: {error}')
            return
        status = 0 if done.returncode in succeeds else done.returncode
        self.answer(status, done.stdout.decode(errors='replace'), done.stderr.decode(errors='replace'))

    def answer(self, status, out, err):
        """Tells 55-heat-config what to send to Heat."""
        found = {'deploy_stdout': out[-KEPT:], 'deploy_stderr': err[-KEPT:], 'deploy_status_code': status}
        for output in self.config.get('outputs') or []:
            name = str(output.get('name'))
            try:
                with open(f'{self.prefix}.{name}', encoding='utf-8', errors='replace') as f:
                    found[name] = f.read(KEPT)
            except OSError:
                pass
        json.dump(found, sys.stdout)

    def refuse(self, reason):
        """Answers that this image cannot carry the deployment out."""
        self.answer(1, '', reason)
