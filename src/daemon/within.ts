/** What `promise` yields, or what `otherwise` does when that takes longer than `limitMs`. */
export async function within<T>(promise: Promise<T>, limitMs: number, otherwise: () => T): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<T>((resolve) => {
    timer = setTimeout(() => resolve(otherwise()), limitMs);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
}
