// The load that people run against such systems, for k6 (https://k6.io):
//
//   k6 run deploy/load/loadtest.js                      100 users for 10 s, then 200, 500 and none
//   k6 run -e BASE_URL=http://localhost:8102 deploy/load/loadtest.js
//
// A buyer is sold to or told that nothing is left. A 5xx, or any other answer, fails the run.
import http from 'k6/http';
import { check } from 'k6';
import { Counter } from 'k6/metrics';

const BASE_URL = __ENV.BASE_URL || 'http://localhost';
const STOCK = Number(__ENV.STOCK || 10000);
const JSON_BODY = { headers: { 'Content-Type': 'application/json' } };

const sold = new Counter('sold');
const soldOut = new Counter('sold_out');
const serverErrors = new Counter('server_errors');

// A buyer who is told that nothing is left was served.
http.setResponseCallback(http.expectedStatuses(200, 201, 410));

export const options = {
  scenarios: {
    users: { executor: 'constant-vus', vus: 100, duration: '10s' },
    ramp: {
      executor: 'ramping-vus',
      startTime: '12s',
      startVUs: 0,
      stages: [
        { duration: '10s', target: 200 },
        { duration: '20s', target: 500 },
        { duration: '10s', target: 0 },
      ],
    },
  },
  thresholds: {
    server_errors: ['count==0'],
    checks: ['rate==1'],
    http_req_duration: ['p(95)<2000'],
  },
};

export function setup() {
  const product = `k6-${Date.now()}`;
  const body = JSON.stringify({ name: 'Drop', stock: STOCK });
  const answer = http.put(`${BASE_URL}/v1/products/${product}`, body, JSON_BODY);
  if (answer.status !== 201) {
    throw new Error(`the sale does not open: ${answer.status} ${answer.body}`);
  }
  return { product };
}

export default function ({ product }) {
  const user = `user-${__VU}-${__ITER}`;
  const body = JSON.stringify({ product_id: product, user_id: user, quantity: 1 });
  const answer = http.post(`${BASE_URL}/v1/buys`, body, JSON_BODY);
  sold.add(answer.status === 201);
  soldOut.add(answer.status === 410);
  serverErrors.add(answer.status >= 500 || answer.status === 0);
  check(answer, { 'sold or sold out': ({ status }) => status === 201 || status === 410 });
}

export function teardown({ product }) {
  const { sold: units, available } = http.get(`${BASE_URL}/v1/products/${product}`).json();
  if (units + available !== STOCK) {
    throw new Error(`${units} sold and ${available} left are not ${STOCK}`);
  }
}
