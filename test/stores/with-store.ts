import type { Test } from 'tap'
import { closedWith } from '../support/closed-with.ts'

/** Returns a function that runs a test on a store, which it opens and closes. */
export function testsWithStore<S extends { close(): Promise<void> }>(
  t: Test,
  open: () => Promise<S>,
) {
  return (title: string, body: (t: Test, store: S) => Promise<unknown>) =>
    t.test(title, async (t) => {
      const store = closedWith(t, await open())
      await body(t, store)
      // A property asserts nothing: it throws.
      t.pass()
    })
}
