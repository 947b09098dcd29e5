import type { Test } from 'tap'

type Content = Parameters<Test['testdir']>[0]

/**
 * Creates a folder for a test. tap removes the folder after the last cleanup of the test only if a
 * cleanup is registered first.
 */
export function createTestFolder(t: Test, content?: Content): string {
  t.teardown(() => {})
  return t.testdir(content)
}
