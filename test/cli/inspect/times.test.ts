import t from 'tap'
import { spellDistance, spellDuration, spellInstant } from '../../../src/cli/inspect/report.ts'
import { now_s } from '../../support/tokens.ts'

t.test('durations are said in two units at most', async (t) => {
  t.equal(spellDuration(0), 'less than a second')
  t.equal(spellDuration(1), '1 second')
  t.equal(spellDuration(252), '4 minutes 12 seconds')
  t.equal(spellDuration(3600), '1 hour')
  t.equal(spellDuration(3605), '1 hour')
  t.equal(spellDuration(90_061), '1 day 1 hour')
  t.equal(spellDistance(100, 103), '3 seconds ago')
  t.equal(spellDistance(103, 100), 'in 3 seconds')
})

t.test('an instant is a local time; one that no calendar has is no failure', async (t) => {
  t.match(spellInstant(now_s + 60, now_s), /^2026-11-2\d \d\d:\d\d:\d\d .+, in 1 minute$/)
  t.match(spellInstant(Number.MAX_SAFE_INTEGER, now_s), /no calendar/)
})
