import type { Test } from 'tap'
import { outsideFolder } from './project.ts'

type Content = Parameters<Test['testdir']>[0]

/**
 * Creates a folder for a test. Each call without content creates another one. tap removes a folder with
 * content after the last cleanup of the test only if a cleanup is registered first.
 */
export function createTestFolder(t: Test, content?: Content): string {
  if (content === undefined) return outsideFolder(t)
  t.teardown(() => {})
  return t.testdir(content)
}
