import { EXIT } from '../../base/errors.ts';
import { configReference, type KeyReference } from '../../config/reference.ts';
import { type Io, json } from '../io.ts';

/** `dtunnel config schema`. */
export interface ConfigSchemaArgs {
  readonly json: boolean;
}

/** Prints every key that a configuration may hold. */
export async function run(args: ConfigSchemaArgs, io: Io): Promise<number> {
  const sections = configReference();
  if (args.json) {
    io.out(json({ schema: 'dtunnel.config/1', sections }));
    return EXIT.ok;
  }
  const width = Math.max(...sections.flatMap(({ keys }) => keys.map((key) => key.name.length)));
  for (const [index, { name, keys }] of sections.entries()) {
    io.out(`${index === 0 ? '' : '\n'}[${name}]\n`);
    for (const key of keys) io.out(`${key.name.padEnd(width)}  ${key.help}\n${' '.repeat(width)}  ${facts(key)}\n`);
  }
  return EXIT.ok;
}

function facts(key: KeyReference): string {
  const value = `${key.type}${key.list ? ', several' : ''}`;
  const absent = key.required ? 'required' : `default: ${key.default ?? 'none'}`;
  return `(${value}; ${absent}; ${key.hot ? 'reload applies it' : 'needs a restart'})`;
}
