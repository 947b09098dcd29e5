import { pino } from 'pino'
import t from 'tap'
import { RequestLog } from '../../src/http/request-log.ts'

function start() {
  const lines: string[] = []
  const parent = pino({ level: 'info' }, { write: (line: string) => lines.push(line) })
  let made = 0
  const log = new RequestLog(parent, () => {
    made += 1
    return parent.child({ request_id: 'one' })
  })
  return { log, lines, made: () => made }
}

t.test('is made once, when the first line is written', async (t) => {
  const { log, lines, made } = start()
  t.equal(log.level, 'info')
  t.equal(made(), 0)
  log.info({ a: 1 }, 'first')
  log.error('second')
  log.debug('not written')
  t.equal(made(), 1)
  t.match(
    lines.map((line) => JSON.parse(line)),
    [
      { request_id: 'one', a: 1, msg: 'first' },
      { request_id: 'one', level: 50, msg: 'second' },
    ],
  )
  t.equal(lines.length, 2)
})

t.test('its children name the request too', async (t) => {
  const { log, lines } = start()
  log.child({ part: 'x' }).warn('third')
  t.match(JSON.parse(lines[0] ?? ''), { request_id: 'one', part: 'x', msg: 'third' })
})
