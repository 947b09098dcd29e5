import t from 'tap'
import { projectFiles, readProjectFile } from '../../support/project.ts'

t.test('each attack on a verifier is the name of a test', async (t) => {
  const tests = projectFiles().filter((path) => /^test\/.*\.test\.ts$/.test(path))
  const named = tests.flatMap((path) =>
    [...readProjectFile(path).matchAll(/\bt\.test\(\s*['`](A\d+): /g)].map(([, id]) => id),
  )
  const all = Array.from({ length: 34 }, (_, index) => `A${index + 1}`)
  t.same(
    all.filter((id) => !named.includes(id)),
    [],
  )
})
