/**
 * The three functions of the Reflect metadata proposal that `tsyringe` (below `@peculiar/x509`) demands at import. They
 * serve its decorators only; installing them here keeps a global polyfill package out of the daemon, which never
 * creates certificates. Existing definitions are left alone.
 */
export function installReflectMetadata(): void {
  const tables = new WeakMap<object, Map<unknown, unknown>>();
  const own = (key: unknown, target: object): unknown => tables.get(target)?.get(key);

  const functions = {
    getOwnMetadata: own,
    getMetadata(key: unknown, target: object): unknown {
      for (let holder: object | null = target; holder !== null; holder = Object.getPrototypeOf(holder)) {
        const value = own(key, holder);
        if (value !== undefined) return value;
      }
      return undefined;
    },
    defineMetadata(key: unknown, value: unknown, target: object): void {
      const table = tables.get(target) ?? new Map<unknown, unknown>();
      table.set(key, value);
      tables.set(target, table);
    },
  };
  for (const [name, value] of Object.entries(functions)) {
    if (!Reflect.has(Reflect, name)) Reflect.set(Reflect, name, value);
  }
}
