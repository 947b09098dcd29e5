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

/** Waits for a promise for a limited time. Returns its value; undefined if it is late. */
export async function waitAtMost<T>(promise: Promise<T>, maxMs: number): Promise<T | undefined> {
  const late = Promise.withResolvers<undefined>()
  const timer = setTimeout(late.resolve, maxMs, undefined)
  try {
    return await Promise.race([promise, late.promise])
  } finally {
    clearTimeout(timer)
  }
}
