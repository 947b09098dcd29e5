import { join } from 'node:path'
import t from 'tap'
import { testNeeds } from '../../scripts/test-needs.ts'
import { packageOf } from '../../scripts/test-packages.ts'
import { projectFiles, projectFolder } from '../support/project.ts'

const files = projectFiles().filter((path) => path.endsWith('.test.ts'))
const needsOf = (path: string) => testNeeds(join(projectFolder, path))

t.test('a test of pure code needs nothing', async (t) => {
  t.same(needsOf('test/tokens/base64url.test.ts'), { programs: [], processes: false })
})

t.test('a program is found behind the modules that a test imports', async (t) => {
  t.match(needsOf('test/stores/redis/session-store.test.ts'), { processes: true })
  t.ok(needsOf('test/stores/redis/session-store.test.ts').programs.includes('redis-server'))
  t.ok(needsOf('test/stores/postgres/session-store.test.ts').programs.includes('initdb'))
})

t.test('a test that follows a README needs what the README tells people to use', async (t) => {
  t.same(needsOf('test/cli/readme.test.ts').programs, ['curl', 'openssl'])
})

t.test('each listed program is needed by a test', async (t) => {
  const needed = new Set(files.flatMap((path) => needsOf(path).programs))
  t.same([...needed].sort(), Object.keys(packageOf).sort())
})

t.test('a test of an issuer starts processes, which hash passwords', async (t) => {
  t.same(needsOf('test/http/login.test.ts'), { programs: [], processes: true })
})
