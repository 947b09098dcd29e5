/**
 * Returns whether a value is a promise. In a context of node:vm, such as a test of Jest, `instanceof`
 * does not recognize promises of `node:crypto`.
 */
export function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function'
}

/**
 * Returns the value of a function of the application that must be synchronous.
 *
 * @throws TypeError for a promise. Its rejection is ignored: unhandled, it would end the process.
 */
export function synchronous<T>(value: T | Promise<T>, message: string): T {
  if (!isPromise(value)) return value
  value.then(undefined, () => {})
  throw new TypeError(message)
}

/** Waits for a promise that never rejects, for a limited time. */
export async function waitAtMost(promise: Promise<void>, maxMs: number): Promise<void> {
  const late = Promise.withResolvers<void>()
  const timer = setTimeout(late.resolve, maxMs)
  await Promise.race([promise, late.promise])
  clearTimeout(timer)
}
