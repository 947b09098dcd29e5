import type { Page } from 'playwright-core'
import t from 'tap'
import { read, startPlayground, textOf } from './playground.ts'

/** The scenarios of the page, against real processes. */

const playground = await startPlayground(t)

/** Runs a scenario to its end. @returns the texts of its steps */
async function run(page: Page, scenario: string): Promise<readonly string[]> {
  await page.locator(`#run-${scenario}`).press('Enter')
  await page.locator(`#${scenario}-steps[data-result]`).waitFor()
  return page.locator(`#${scenario}-steps li`).allTextContents()
}

const result = (page: Page, scenario: string) =>
  page.locator(`#${scenario}-steps`).getAttribute('data-result')

t.test('a stolen refresh token is detected, and every replica refuses the session', async (t) => {
  const page = await playground.openSignedIn(t)
  const steps = (await run(page, 'theft')).join('\n')
  t.match(steps, /has generation 2 now/)
  t.match(steps, /Waiting until the grace period ends/)
  t.match(steps, /Refused with refresh_token_reused/)
  t.match(steps, /Waiting until every replica has received the revocation/)
  t.match(steps, /After \d+ ms every replica refuses the access token/)
  t.equal(await result(page, 'theft'), 'good')
  await textOf(page, '#events', /refresh\.reused/)
  t.equal(await read(page, '#user-name'), 'demo', 'it was the session of another device')
})

t.test('five refreshes at once with one cookie have one successor', async (t) => {
  const page = await playground.openSignedIn(t)
  const steps = (await run(page, 'tabs')).join('\n')
  t.match(steps, /5 of 5 received tokens/)
  t.match(steps, /The issuer logged 1 rotated and 4 replayed/)
  t.match(steps, /same successor of generation 0: 1/)
  t.match(steps, /Five tabs sent 1 request\./)
  t.equal(await result(page, 'tabs'), 'good')
  // On a slow machine the page has refreshed again.
  await textOf(page, '#generation', /^[1-9]\d*$/)
  t.match(await textOf(page, '#replays', /^[4-9]$/), /\d/)
})

t.test('a new key is published, then signs, and no request fails', async (t) => {
  const page = await playground.openSignedIn(t)
  const before = await read(page, '#key-of-token')
  // Another window does the same at the same time.
  await page.evaluate(`{
    const rotate = () => fetch('playground/keys/rotate', { method: 'POST' })
    document.querySelector('#run-keys').addEventListener('click', rotate)
  }`)
  await run(page, 'keys')
  t.equal(await result(page, 'keys'), 'good')
  await textOf(page, '#keys', /active.*/)
  t.not(await textOf(page, '#key-of-token'), before)
  t.equal(await read(page, '#failures'), '0')
})

t.test('every tab notices a sign-out by another device', async (t) => {
  const page = await playground.openSignedIn(t)
  const other = await page.context().newPage()
  await other.goto(playground.url)
  await other.locator('#dashboard').waitFor()
  // The client does not replace a token that is younger than a second.
  await page.bringToFront()
  await page.locator('#refresh-now').click()
  await page.locator('#run-elsewhere').click()
  t.match(await textOf(page, '#farewell'), /another tab or device.* after \d+ ms/)
  t.match(await textOf(other, '#farewell'), /another tab or device/)
  t.equal(await other.locator('#dashboard').isVisible(), false)
  t.equal(await page.locator('#responses .fill-failure').count(), 0)
})

t.test('without the password there is no second device', async (t) => {
  const page = await playground.openSignedIn(t)
  await page.reload()
  await page.locator('#dashboard').waitFor()
  await page.locator('#run-theft').press('Enter')
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click()
  await textOf(page, '#theft-steps', /Without the password/)
  const enter = async (password: string) => {
    await page.locator('#run-elsewhere').click()
    await page.getByRole('dialog').waitFor()
    await page.keyboard.type(password)
    await page.keyboard.press('Enter')
  }
  await enter('not the one')
  await textOf(page, '#elsewhere-steps', /password is wrong/)
  await enter(playground.password)
  t.match(await textOf(page, '#farewell'), /another tab or device/, 'a wrong password is forgotten')
})

t.test('the browser reports no error', async (t) => {
  t.same(playground.complaints, [])
})
