/** A column's contents and where they stand. */
export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
}

/** Columns as text lines, as wide as they need to be, two blanks apart, nothing trailing. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[]): readonly string[] {
  const lines = [columns.map(({ title }) => title), ...rows];
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => displayWidth(line[i] ?? ''))));
  return lines.map((line) =>
    columns
      .map(({ align }, i) => pad(line[i] ?? '', widths[i] ?? 0, align ?? 'left'))
      .join('  ')
      .trimEnd(),
  );
}

/** Key and value lines, keys right-aligned as `networkctl status` has them. */
export function details(entries: readonly (readonly [key: string, value: string])[], width = 19): readonly string[] {
  return entries.map(([key, value]) => `${key.padStart(width)}  ${value}`.trimEnd());
}

/** How many columns `text` takes on the screen: colours take none. */
export function displayWidth(text: string): number {
  const [plain = '', ...coloured] = text.split('\u001b');
  const visible = [plain, ...coloured.map((part) => part.replace(/^\[[0-9;]*m/, ''))].join('');
  return Array.from(visible).length;
}

function pad(text: string, width: number, align: 'left' | 'right'): string {
  const fill = ' '.repeat(Math.max(0, width - displayWidth(text)));
  return align === 'right' ? `${fill}${text}` : `${text}${fill}`;
}
