import { EXIT } from '../../base/errors.ts';
import type { Io } from '../io.ts';

/** `dtunnel completion SHELL`. */
export interface CompletionArgs {
  readonly shell: 'bash' | 'zsh' | 'fish';
  /** Commands with one line of help each. */
  readonly commands: readonly (readonly [name: string, help: string])[];
}

/** Prints a completion script: commands first, then names of configurations, then files. */
export async function run(args: CompletionArgs, io: Io): Promise<number> {
  io.out(SCRIPTS[args.shell](args.commands));
  return EXIT.ok;
}

type Commands = CompletionArgs['commands'];

/** Lists configuration names, in the words of bash and zsh. */
const NAMES = `(cd "\${DTUNNEL_CONFIG_DIR:-/etc/dtunnel}" 2>/dev/null && ls -- *.conf 2>/dev/null | sed 's/\\.conf$//')`;

const SCRIPTS: Readonly<Record<CompletionArgs['shell'], (commands: Commands) => string>> = {
  bash: (commands) => `# source <(dtunnel completion bash)
_dtunnel() {
  local word=\${COMP_WORDS[COMP_CWORD]}
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '${commands.map(([name]) => name).join(' ')}' -- "$word"))
  else
    COMPREPLY=($(compgen -W "$${NAMES}" -- "$word") $(compgen -f -- "$word"))
  fi
}
complete -o filenames -F _dtunnel dtunnel
`,
  zsh: (commands) => `#compdef dtunnel
# source <(dtunnel completion zsh)
_dtunnel() {
  if (( CURRENT == 2 )); then
    local -a commands=(
${commands.map(([name, help]) => `      '${name}:${help.replaceAll("'", "'\\''").replaceAll(':', '\\:')}'`).join('\n')}
    )
    _describe command commands
  else
    compadd -- \${(f)"$${NAMES}"}
    _files
  fi
}
compdef _dtunnel dtunnel
`,
  fish: (commands) => `# dtunnel completion fish | source
${commands
  .map(
    ([name, help]) =>
      `complete -c dtunnel -n __fish_use_subcommand -f -a '${name}' -d '${help.replaceAll("'", "\\'")}'`,
  )
  .join('\n')}
complete -c dtunnel -n 'not __fish_use_subcommand' -a '(for f in (set -q DTUNNEL_CONFIG_DIR; and echo $DTUNNEL_CONFIG_DIR; or echo /etc/dtunnel)/*.conf; basename $f .conf; end)'
`,
};
