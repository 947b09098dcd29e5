/** How many of a user's sessions are asked for at once. */
const chunkLength = 200

/** Does it for all of them in their order, and for a bounded number at once. */
export async function inChunks<T, R>(
  items: readonly T[],
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = []
  for (let start = 0; start < items.length; start += chunkLength) {
    results.push(...(await Promise.all(items.slice(start, start + chunkLength).map(work))))
  }
  return results
}
