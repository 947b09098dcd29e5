import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import t, { type Test } from 'tap'
import { print } from '../../src/cli/terminal.ts'
import { run, TestProcess, withEnv } from '../support/processes.ts'
import { projectFolder } from '../support/project.ts'
import { createTestFolder } from '../support/test-folder.ts'

const password = 'correct horse battery staple'
const gatepass = [process.execPath, join(projectFolder, 'src/cli/main.ts')]
const env = { PATH: process.env.PATH, TERM: 'xterm' }

const service = {
  GATEPASS_SECRET: 'a-secret-of-at-least-thirty-two-characters',
  GATEPASS_PORT: '0',
  GATEPASS_ADMIN_PORT: '0',
}

/** Starts a command with pipes, which the test opens and closes itself. */
function start(t: Test, cwd: string, command: readonly string[]) {
  const child = spawn(...withEnv({ ...env, HOME: cwd }, command), { cwd })
  t.teardown(() => child.kill('SIGKILL'))
  let stderr = ''
  child.stderr.on('data', (text: Buffer) => {
    stderr += text
  })
  const ended = once(child, 'close').then(([code]) => ({ code: Number(code), stderr }))
  return { child, ended }
}

/** Runs `gatepass` on a terminal and types a text at each prompt. @returns what the terminal shows */
async function type(t: Test, cwd: string, args: readonly string[], typed: readonly string[]) {
  const words = [...gatepass, ...args].map((word) => `'${word}'`)
  const { child, ended } = start(t, cwd, ['script', '-qec', words.join(' '), '/dev/null'])
  let shown = ''
  let answered = 0
  child.stdout.on('data', (text: Buffer) => {
    shown += text
    const prompts = shown.match(/(Password|User name): /g)?.length ?? 0
    while (answered < Math.min(prompts, typed.length)) child.stdin.write(typed[answered++])
  })
  return { code: (await ended).code, shown }
}

t.test('the keys of a terminal edit a password, and the password is not shown', async (t) => {
  const cwd = createTestFolder(t)
  const withTypingErrors = `typed by mistake\x15${password}xy\b\x7f\r`
  const { code, shown } = await type(t, cwd, ['users', 'add', 'ada'], [withTypingErrors])
  t.equal(code, 0, shown)
  t.notMatch(shown, /mistake|horse|xy/)
  const issuer = TestProcess.start(t, ['issuer'], { cwd, env: service })
  const { port } = await issuer.ready()
  const response = await fetch(`http://127.0.0.1:${port}/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username: 'ada', password }),
  })
  t.equal(response.status, 200)
  t.equal(await issuer.stop(), 0)
})

t.test('Ctrl-C and Ctrl-D cancel a prompt', async (t) => {
  const cwd = createTestFolder(t)
  for (const key of ['\x03', '\x04']) {
    for (const args of [
      ['login', '--password'],
      ['users', 'add', 'ada'],
    ]) {
      const { code, shown } = await type(t, cwd, args, [key])
      t.equal(code, 1)
      t.match(shown, /gatepass: Canceled\. \(request_invalid\)\s*$/)
    }
  }
})

t.test('a command whose reader has left does its work, and exits with 1', async (t) => {
  const cwd = createTestFolder(t)
  const { child, ended } = start(t, cwd, [...gatepass, 'users', 'import', '-', '--json'])
  child.stdout.destroy()
  await once(child.stdout, 'close')
  const hash = '$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy'
  child.stdin.end(`${JSON.stringify({ login_name: 'bob', password_hash: hash })}\n`)
  const { code, stderr } = await ended
  t.equal(code, 1)
  t.notMatch(stderr, /EPIPE|\n {4}at /)
  t.match(await run(t, ['users', 'list'], { cwd }), { stdout: /^bob /m })
})

t.test('text of users cannot control a terminal', async (t) => {
  const text = '\u001b]0;title\u0007\nNAME  \u009b2J \u202e'
  const printed = (asJson: boolean) => {
    const out = new PassThrough({ encoding: 'utf8' })
    print(out, [{ name: text, more: { text } }], asJson)
    return out.read() as string
  }
  for (const asJson of [true, false]) t.notMatch(printed(asJson), /[^\P{C}\n]/u)
  t.equal(printed(false).split('\n').length, 3, 'a row is one line')
  t.same(JSON.parse(printed(true)), [{ name: text, more: { text } }])
})
