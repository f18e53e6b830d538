"""A shop of the usual kind: it keeps its stock in Redis, under one key.

The host name is all that changes when flashnode keeps the stock. What a shop that means it should
tell apart, also with Redis: a yes, a no, and an answer that never came.

    gunicorn --workers 2 --threads 16 --bind 127.0.0.1:8000 shop:app
"""

import os

import redis
from flask import Flask
from redis.backoff import NoBackoff
from redis.retry import Retry

KEY = os.environ.get("SHOP_KEY", "stok")

app = Flask(__name__)
# A DECR that is sent again is another DECR: the library's own retries are off.
stock = redis.Redis(
    host=os.environ.get("SHOP_REDIS_HOST", "127.0.0.1"),
    port=int(os.environ.get("SHOP_REDIS_PORT", "6379")),
    retry=Retry(NoBackoff(), 0),
)


@app.get("/")
def left():
    return {"left": int(stock.get(KEY) or 0)}


@app.post("/buy")
def buy():
    try:
        left = stock.decr(KEY)
    except redis.exceptions.TryAgainError as error:
        return {"nothing was done": str(error)}, 503
    except redis.ResponseError as error:
        if str(error).startswith("SOLDOUT"):
            return {"sold out": str(error)}, 410
        return {"unknown": str(error)}, 504
    except (redis.ConnectionError, redis.TimeoutError) as error:
        return {"unknown": str(error)}, 504
    if left < 0:
        # As it is written for Redis, which goes below zero; flashnode does so with --resp-debt.
        stock.incr(KEY)
        return {"sold out": left}, 410
    return {"left": left}
