import t from 'tap'
import { formatDistance, formatDuration, formatTime } from '../../../src/cli/inspect/report.ts'
import { now_s } from '../../support/tokens.ts'

t.test('a duration has two units at most', async (t) => {
  t.equal(formatDuration(0), 'less than a second')
  t.equal(formatDuration(1), '1 second')
  t.equal(formatDuration(252), '4 minutes 12 seconds')
  t.equal(formatDuration(3600), '1 hour')
  t.equal(formatDuration(3605), '1 hour')
  t.equal(formatDuration(90_061), '1 day 1 hour')
  t.equal(formatDistance(100, 103), '3 seconds ago')
  t.equal(formatDistance(103, 100), 'in 3 seconds')
})

t.test('a time is local; a time that no date can represent is no failure', async (t) => {
  t.match(formatTime(now_s + 60, now_s), /^2026-11-2\d \d\d:\d\d:\d\d .+, in 1 minute$/)
  t.match(formatTime(Number.MAX_SAFE_INTEGER, now_s), /not a valid date/)
})
