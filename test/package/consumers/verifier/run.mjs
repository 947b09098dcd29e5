import { createRequire } from 'node:module'
import * as imported from '@gatepass/verifier'
import { check } from './check.cjs'

const required = createRequire(import.meta.url)('@gatepass/verifier')
const isOne = required.GatepassError === imported.GatepassError
console.log(
  JSON.stringify({ imported: await check(imported), required: await check(required), isOne }),
)
