import { PassThrough, Readable, Writable } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import type { CliContext } from '../../src/cli/context.ts'
import { askLine, print, readPassword, readPiped, reportError } from '../../src/cli/terminal.ts'
import { GatepassError } from '../../src/core/errors.ts'

/** Reads bytes, one per chunk, as from standard input. */
function read(bytes: Buffer, maxBytes?: number): Promise<string> {
  const chunks = Array.from(bytes, (byte) => Buffer.from([byte]))
  return readPiped(Readable.from(chunks) as unknown as NodeJS.ReadStream, maxBytes)
}

t.test('piped text is UTF-8 without a byte order mark and the last line break', async (t) => {
  for (const end of ['', '\n', '\r\n']) {
    t.equal(await read(Buffer.from(`\ufeffcafé 😀${end}`)), 'café 😀')
  }
  t.equal(await read(Buffer.from('one\ntwo\n\n')), 'one\ntwo\n')
  t.equal(await read(Buffer.from('ab😀'), 3), 'ab', 'it is cut at a character')
})

t.test('a password in another encoding is refused, not changed', async (t) => {
  for (const bytes of [Buffer.from('café!', 'latin1'), Buffer.from('é').subarray(0, 1)]) {
    await t.rejects(read(bytes), { code: 'request_invalid', detail: /UTF-8/ })
  }
})

/** Returns what `print` writes, one item per write. */
async function printed(rows: Iterable<object>, asJson: boolean): Promise<string[]> {
  const writes: string[] = []
  const out = new Writable({
    decodeStrings: false,
    write(text, _encoding, done) {
      writes.push(text)
      done()
    },
  })
  await print(out, rows as Iterable<Record<string, unknown>>, asJson)
  return writes
}

t.test(
  'a long list is printed in parts, which together are one table or one JSON text',
  async (t) => {
    const rows = Array.from({ length: 2_500 }, (_, id) => ({ id, name: 'ada', tags: { a: [1] } }))
    const table = await printed(rows, false)
    t.match(table[0], /^ID {3}NAME {2}TAGS\n0 {4}ada {3}\{"a":\[1\]\}\n/)
    t.match(table[2], /\n2499 {2}ada {3}\{"a":\[1\]\}\n$/)
    t.equal(table.join('').split('\n').length, 2_502)
    t.equal((await printed(rows, true)).join(''), `${JSON.stringify(rows, null, 2)}\n`)
    t.same([await printed([], false), await printed([], true)], [['none\n'], ['[]\n']])
  },
)

t.test('a list ends when nobody reads it', async (t) => {
  const out = new Writable({ write: (_text, _encoding, done) => done(new Error('EPIPE')) })
  out.on('error', () => {})
  let rows = 0
  async function* endless() {
    for (;;) yield { row: rows++ }
  }
  await print(out, endless(), false)
  t.equal(rows, 1_000)
})

t.test('the error of a store says why it is unavailable', async (t) => {
  const shown = (error: GatepassError) => {
    let text = ''
    const stderr = { write: (part: string) => (text += part) } as unknown as NodeJS.WritableStream
    t.equal(reportError(error, stderr), 1)
    return text
  }
  const locked = new GatepassError('store_unavailable', { cause: new Error('database is locked') })
  const first = 'gatepass: A store is not responding. Try again. (store_unavailable)'
  t.equal(shown(locked), `${first}\n  database is locked\n`)
  const refused = Object.assign(new AggregateError([]), { code: 'ECONNREFUSED' })
  const unreachable = new GatepassError('store_unavailable', { cause: refused })
  t.equal(shown(unreachable), `${first}\n  ECONNREFUSED\n`)
  const late = new Error('No reply in time.', { cause: new Error('READONLY You are a replica.') })
  t.equal(
    shown(new GatepassError('store_unavailable', { cause: late })),
    `${first}\n  No reply in time: READONLY You are a replica.\n`,
  )
  const half = new GatepassError('store_unavailable', { detail: 'Half is done.', cause: locked })
  t.equal(shown(half), 'gatepass: Half is done. (store_unavailable)\n  database is locked\n')
  const named = new GatepassError('store_unavailable', {
    detail: 'It is down.',
    cause: new Error('again'),
  })
  t.equal(shown(named), 'gatepass: It is down. (store_unavailable)\n')
})

/** A terminal at which this text is typed, and what it shows. */
function openTerminal() {
  let shown = ''
  const stdin = Object.assign(new PassThrough(), { isTTY: true })
  const stderr = { write: (text: string | Buffer) => (shown += text) }
  const context = { stdin, stderr } as unknown as CliContext
  const end = (text = '') => stdin.end(text)
  return { context, type: (text: string) => stdin.write(text), end, shown: () => shown }
}

t.test('a user name and a password may be typed at once', async (t) => {
  const { context, type, shown } = openTerminal()
  type('ada\rpass word\rmore')
  t.equal(await askLine(context, 'User name: '), 'ada')
  t.equal(await readPassword(context), 'pass word')
  t.match(shown(), /User name: .*ada\r\nPassword: \n$/)
  t.notMatch(shown(), /pass word|more/)
})

t.test('the end of the input cancels, and ends a line', async (t) => {
  const empty = openTerminal()
  empty.end()
  await t.rejects(readPassword(empty.context), { code: 'request_invalid', detail: 'Canceled.' })
  const partial = openTerminal()
  partial.end('pass word')
  t.equal(await readPassword(partial.context), 'pass word')
})

t.test('Ctrl-C at a prompt ends the line of the prompt', async (t) => {
  for (const ask of [(context: CliContext) => askLine(context, 'User name: '), readPassword]) {
    const { context, type, shown } = openTerminal()
    type('ad\u0003')
    await t.rejects(ask(context), { message: 'Canceled.' })
    t.match(shown(), /[^\n]\n$/)
  }
})

t.test('SIGHUP at a prompt cancels, so that the terminal gets its echo back', async (t) => {
  const { context, type } = openTerminal()
  const listeners = process.listenerCount('SIGHUP')
  type('pass')
  const canceled = t.rejects(readPassword(context), { message: 'Canceled.' })
  process.emit('SIGHUP')
  await canceled
  t.equal(process.listenerCount('SIGHUP'), listeners)
})

t.test('after Ctrl-Z and `fg` a prompt reads on', async (t) => {
  const kill = t.capture(process, 'kill', () => true)
  const { context, type, shown } = openTerminal()
  type('pass\u001a')
  const password = readPassword(context)
  while (kill().length === 0) await setImmediate()
  process.emit('SIGCONT')
  type(' word\r')
  t.equal(await password, 'pass word')
  t.equal(shown(), 'Password: Password: \n')
})
