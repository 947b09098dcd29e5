import fs, { closeSync, openSync, readFileSync, readSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { mock } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { createLogger, LogOutput } from '../../src/cli/logger.ts'
import { createApp } from '../../src/http/app.ts'
import { makePipe } from '../support/pipe.ts'
import { run, TestProcess } from '../support/processes.ts'
import { createTestFolder } from '../support/test-folder.ts'
import { until } from '../support/until.ts'

const line = `${'x'.repeat(999)}\n`
/** More lines than may wait. */
const tooMany = 1_500

function flushed(output: LogOutput): Promise<void> {
  return new Promise((resolve) => output.flush(resolve))
}

/** All that the pipe holds; '' for an empty one. */
function readAvailable(reader: number): string {
  let text = ''
  const buffer = Buffer.alloc(65_536)
  try {
    for (;;) {
      const bytes = readSync(reader, buffer)
      if (bytes === 0) return text
      text += buffer.toString('utf8', 0, bytes)
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
    return text
  }
}

t.test('a file receives all lines in order', async (t) => {
  const path = join(createTestFolder(t), 'log')
  const fd = openSync(path, 'a')
  t.teardown(() => closeSync(fd))
  const output = new LogOutput({ fd })
  const lines = Array.from({ length: 500 }, (_, n) => `${n} äöü\n`)
  for (const [n, text] of lines.entries()) {
    output.write(text)
    if (n % 100 === 0) await setImmediate()
  }
  await flushed(output)
  t.equal(readFileSync(path, 'utf8'), lines.join(''))
})

t.test('the message of an error says why each address of a host was not reached', async (t) => {
  const path = join(createTestFolder(t), 'log')
  const fd = openSync(path, 'a')
  t.teardown(() => closeSync(fd))
  const output = new LogOutput({ fd })
  const logger = createLogger({ log_level: 'info' }, 'issuer', output)
  const refused = ['::1', '127.0.0.1'].map((host) => new Error(`connect ECONNREFUSED ${host}:6379`))
  const app = createApp({ logger })
  app.log.warn({ err: new Error('No reply.', { cause: new AggregateError(refused) }) })
  await flushed(output)
  const message = 'No reply: connect ECONNREFUSED ::1:6379, connect ECONNREFUSED 127.0.0.1:6379'
  t.match(JSON.parse(readFileSync(path, 'utf8')), { err: { type: 'Error', message, stack: /at / } })
})

t.test('a full disk drops lines and uses bounded memory', async (t) => {
  // Stays open: the output goes on trying, and another file would get the number of a closed one.
  const fd = openSync('/dev/full', 'w')
  const output = new LogOutput({ fd })
  for (let n = 0; n < tooMany; n++) output.write(line)
  t.ok(output.dropped > 0 && output.dropped < tooMany, `${output.dropped} are dropped`)
  await flushed(output)
  t.pass('a flush ends although nothing was written')
})

t.test(
  'a pipe that is read again receives the waiting lines and a note about the gap',
  async (t) => {
    const { reader, writer } = makePipe(t)
    const output = new LogOutput({ fd: writer })
    const gaps: number[] = []
    output.onGap((dropped) => {
      gaps.push(dropped)
      output.write('gap\n')
    })
    for (let n = 0; n < tooMany; n++) output.write(line)
    const { dropped } = output
    t.ok(dropped > 0)
    await flushed(output)

    let text = ''
    await until('the gap is told', () => {
      text += readAvailable(reader)
      return text.endsWith('gap\n')
    })
    t.equal(text, `${line.repeat(tooMany - dropped)}gap\n`, 'no line is torn')
    t.same(gaps, [dropped])
    output.write('on it goes\n')
    await flushed(output)
    t.equal(readAvailable(reader), 'on it goes\n')
    t.equal(output.dropped, dropped)
  },
)

t.test('a pipe that several processes share holds whole lines only', async (t) => {
  const { reader, writer } = makePipe(t)
  const output = new LogOutput({ fd: writer, isShared: true })
  const text = `${line.repeat(5)}${'y'.repeat(9_999)}\n${line.repeat(100)}`
  output.write(text)
  let read = ''
  await until('all lines are read', () => {
    const part = readAvailable(reader)
    t.match(part, /^$|\n$/, 'another process writes its lines after a line')
    read += part
    return read.length === text.length
  })
  t.equal(read, text)
})

t.test('a burst that fills the pipe is written as fast as its reader takes it', async (t) => {
  const pipeBytes = 65_536
  const burst = line.repeat(1_000)
  let room = pipeBytes
  let written = 0
  const { write } = fs
  t.teardown(() => {
    mock.timers.reset()
    fs.write = write
    syncBuiltinESMExports()
  })
  // The reader empties the pipe after each write that has found it full.
  const writeToPipe = (_fd: number, bytes: Buffer, done: (error: unknown, n: number) => void) => {
    const length = Math.min(room, bytes.length)
    const error = length === 0 ? Object.assign(new Error(), { code: 'EAGAIN' }) : null
    room = error ? pipeBytes : room - length
    written += length
    queueMicrotask(() => done(error, length))
  }
  fs.write = writeToPipe as typeof write
  syncBuiltinESMExports()
  mock.timers.enable({ apis: ['setTimeout'] })
  const output = new LogOutput({ fd: 1 })
  output.write(burst)
  let elapsedMs = 0
  for (; written < burst.length && elapsedMs < 2_000; elapsedMs++) {
    mock.timers.tick(1)
    await setImmediate()
  }
  t.ok(elapsedMs < 500, `${elapsedMs} ms for ${burst.length} bytes`)
})

t.test('a closed pipe drops and counts every line', async (t) => {
  const { writer, closeReader } = makePipe(t)
  closeReader()
  const output = new LogOutput({ fd: writer })
  output.onGap(() => t.fail('nothing can be written again'))
  for (const expected of [2, 4]) {
    output.write(line)
    output.write(line)
    await flushed(output)
    t.equal(output.dropped, expected)
  }
})

const source = JSON.stringify(import.meta.resolve('../../src/cli/logger.ts'))

/** Writes lines by a `LogOutput` on standard output, and exits at once. */
const program = `
  import { LogOutput } from ${source}
  const output = new LogOutput()
  for (let n = 0; n < 100; n++) output.write('${'x'.repeat(99)}\\n')
  process.exit(0)
`
const command = [process.execPath, '--input-type=module', '--eval', program]

t.test('waiting lines are written when the process exits', async (t) => {
  const { code, stdout } = await run(t, [], { command, cwd: createTestFolder(t) })
  t.equal(code, 0)
  t.equal(stdout, `${'x'.repeat(99)}\n`.repeat(100))
})

t.test('lines after the current write are written when the process exits', async (t) => {
  const exiting = `
    import fs from 'node:fs'
    import { syncBuiltinESMExports } from 'node:module'
    const { write } = fs
    fs.write = (...args) => {
      write(...args)
      process.exit(0)
    }
    syncBuiltinESMExports()
    const { LogOutput } = await import(${source})
    const output = new LogOutput({ fd: 1, isShared: true })
    for (let n = 0; n < 100; n++) output.write('${'x'.repeat(99)}\\n')
  `
  const command = [process.execPath, '--input-type=module', '--eval', exiting]
  const { code, stdout } = await run(t, [], { command, cwd: createTestFolder(t) })
  t.equal(code, 0)
  t.equal(stdout, `${'x'.repeat(99)}\n`.repeat(100))
})

t.test('neither a full disk nor an unread pipe prevents the exit', async (t) => {
  const { writer } = makePipe(t)
  const filler = new LogOutput({ fd: writer })
  for (let n = 0; n < 100; n++) filler.write(line)
  await flushed(filler)
  const full = openSync('/dev/full', 'w')
  t.teardown(() => closeSync(full))
  for (const stdout of [full, writer]) {
    const process = TestProcess.start(t, [], { command, cwd: createTestFolder(t), stdout })
    t.equal(await process.exited, 0, process.stderr)
  }
})

t.test('a blocked write does not prevent the exit after the flush timeout', async (t) => {
  const { path } = makePipe(t)
  const blocking = `
    import { openSync } from 'node:fs'
    import { LogOutput } from ${source}
    const output = new LogOutput({ fd: openSync('${path}', 'w') })
    output.write('x'.repeat(500_000) + '\\n')
    output.flush(() => process.exit(0))
  `
  const command = [process.execPath, '--input-type=module', '--eval', blocking]
  t.equal((await run(t, [], { command, cwd: createTestFolder(t) })).code, 'SIGKILL')
})

for (const [what, patch] of [
  ['has just begun', 'performance.now = () => 0; fs.write = () => {}'],
  // The timeout of the flush is due when the process has yet to learn of the failure.
  [
    'failed while the process was stalled',
    'fs.write = (...args) => setImmediate(() => { write(...args); stall() })',
  ],
]) {
  t.test(`a write that ${what} is not a blocked write`, async (t) => {
    const full = openSync('/dev/full', 'w')
    t.teardown(() => closeSync(full))
    const flushing = `
      import fs from 'node:fs'
      import { syncBuiltinESMExports } from 'node:module'
      const stall = () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_700)
      const { write } = fs
      ${patch}
      syncBuiltinESMExports()
      const { LogOutput } = await import(${source})
      const output = new LogOutput({ fd: 1 })
      output.write('a line\\n')
      output.flush(() => process.exit(0))
    `
    const command = [process.execPath, '--input-type=module', '--eval', flushing]
    const { exited } = TestProcess.start(t, [], { command, cwd: createTestFolder(t), stdout: full })
    t.equal(await exited, 0)
  })
}
