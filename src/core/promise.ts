/**
 * Tells a promise from a plain value. In a context of node:vm, such as a test of Jest, `instanceof`
 * does not find a promise of `node:crypto`, which then passes for a true value.
 */
export function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function'
}
