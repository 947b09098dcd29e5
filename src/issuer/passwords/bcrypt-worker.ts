import { parentPort } from 'node:worker_threads'
import { hashSync } from 'bcryptjs'
import type { BcryptJob } from './bcrypt.ts'

// The thread of ./bcrypt.ts: one answer for each job, in the order they came.
parentPort?.on('message', ({ password, settings }: BcryptJob) => {
  parentPort?.postMessage(hashSync(password, settings))
})
