import { DtunnelError, EXIT } from '../../base/errors.ts';
import { convertWireguard } from '../../config/from-wireguard.ts';
import { type Io, json } from '../io.ts';
import { configDirectory } from '../resolve-file.ts';

/** `dtunnel convert wg0.conf`. */
export interface ConvertArgs {
  readonly file: string;
  readonly json: boolean;
}

/** Prints a WireGuard configuration in dtunnel's dialect, and says on standard error what is left to do. */
export async function run(args: ConvertArgs, io: Io): Promise<number> {
  const octets = io.files.read(args.file);
  if (!octets.ok) throw new DtunnelError('C001', `cannot read ${args.file}: ${octets.error}`);
  const text = new TextDecoder('utf-8').decode(octets.value);
  const { text: converted, todo } = convertWireguard(args.file, text, configDirectory(io.env));
  if (args.json) {
    io.out(json({ schema: 'dtunnel.convert/1', text: converted, todo }));
    return EXIT.ok;
  }
  io.out(converted);
  io.err(`left to do:\n${todo.map((line, i) => `  ${i + 1}. ${line}\n`).join('')}`);
  return EXIT.ok;
}
