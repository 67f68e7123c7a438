import { writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { run } from '../../src/cli/commands/completion.ts';
import type { Io } from '../../src/cli/io.ts';
import { command } from '../support/command.ts';
import { useTemporaryDirectory } from '../support/temporary-directory.ts';

const directory = useTemporaryDirectory();

async function script(shell: 'bash' | 'zsh' | 'fish'): Promise<string> {
  let text = '';
  const out = (more: string): void => {
    text += more;
  };
  const commands = [
    ['status', "show it: all of what's there"],
    ['stop', 'end'],
  ] as const;
  await run({ shell, commands }, { out } as Io);
  const file = directory.path(`completion.${shell}`);
  writeFileSync(file, text);
  return file;
}

describe('completion', () => {
  it.each(['bash', 'zsh', 'fish'] as const)('for %s is a script that this shell reads', async (shell) => {
    const check = await command(shell, ['-n', await script(shell)]);
    // Without the shell there is nothing to check it with.
    if (check.output.includes('ENOENT')) console.log(`${shell} is not installed: its completion script is not checked`);
    else expect(check).toMatchObject({ status: 0, output: '' });
  });

  it('in bash gives commands first, then names of configurations', async () => {
    writeFileSync(directory.path('paris.conf'), '');
    const file = await script('bash');
    const complete = async (words: string): Promise<string> => {
      const program = `source ${file}; COMP_WORDS=(${words}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _dtunnel; echo "\${COMPREPLY[@]}"`;
      const env = { DTUNNEL_CONFIG_DIR: directory.path() };
      return (await command('bash', ['-c', program], { env, cwd: '/' })).stdout.trim();
    };
    expect(await complete('dtunnel st')).toBe('status stop');
    expect(await complete('dtunnel up pa')).toBe('paris');
  });
});
