/**
 * Returns whether a value is a promise. In a context of node:vm, such as a test of Jest, `instanceof`
 * does not recognize promises of `node:crypto`.
 */
export function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function'
}
