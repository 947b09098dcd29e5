import t from 'tap'
import { bearer } from './answers.ts'
import { type ProxyExample, startBehind } from './start.ts'
import { testForwardAuth } from './suite.ts'

/** Apache in one process, so that none is left behind when the test kills it. */
const apache: ProxyExample = {
  folder: 'forward-auth/apache',
  files: ['httpd.conf', 'gatepass.lua'],
  command: (folder) => ['apache2', '-X', '-f', `${folder}/httpd.conf`],
  changes: (folder) => ({
    '/run/apache2': folder,
    '/etc/apache2': folder,
    '/dev/stderr': `${folder}/error.log`,
  }),
}

testForwardAuth('Apache', apache)

t.test('Apache fails closed when its Lua fails', async (t) => {
  const changes = (folder: string) => ({
    ...apache.changes?.(folder),
    'ask(r)\n': "error('it fails')\n",
  })
  const { application, call } = await startBehind(t, { ...apache, changes })
  t.equal((await call({ headers: bearer() })).status, 500)
  t.same(application.requests, [])
})
