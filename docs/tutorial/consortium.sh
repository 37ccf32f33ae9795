#!/bin/sh
# Four hospitals, an aggregator and an auditor on this machine: each a process of its own with a key of its own,
# which see each other only through a chain and a payload store. Run it in an empty folder.
#
#   RPC=http://127.0.0.1:8546 STORE=/ip4/127.0.0.1/tcp/5001 sh consortium.sh
#
# takes a chain and an IPFS daemon that run already; without these variables it starts a development chain and
# shares payloads in a folder.
set -eu

# 1. Keys. In earnest each is made where it is used, with a passphrase of its own.
export FEDLEDGER_PASSPHRASE="${FEDLEDGER_PASSPHRASE:-only to try it out}"
for who in operator aggregator north south east west; do
    mkdir -p $who
    fedledger keys new $who/key.json > $who/address
done

# 2. A chain and a payload store.
PROCESSES=
trap 'kill $PROCESSES 2>/dev/null || true; wait' EXIT
if [ -z "${RPC:-}" ]; then
    RPC=http://127.0.0.1:${PORT:-8545}
    FUND=$(for who in operator aggregator north south east west; do echo "--fund $(cat $who/address)"; done)
    fedledger devnet --port "${PORT:-8545}" $FUND > devnet.log 2>&1 &
    PROCESSES="$PROCESSES $!"
    until grep -q "$RPC" devnet.log; do sleep 0.2; done
fi
STORE=${STORE:-$PWD/shared}

# 3. The operator deploys the contracts and hands everybody the network file, consortium.toml.
fedledger deploy --rpc "$RPC" --key operator/key.json \
    --member "$(cat north/address)" --member "$(cat south/address)" \
    --member "$(cat east/address)" --member "$(cat west/address)" \
    --operator "$(cat operator/address)" --aggregator "$(cat aggregator/address)"

# 4. Each hospital has its own rows.
python3 - <<'END'
from sklearn.datasets import load_breast_cancer

bunch = load_breast_cancer(as_frame=True)
table = bunch.data.assign(diagnosis=[str(bunch.target_names[i]) for i in bunch.target])
for number, hospital in enumerate(["north", "south", "east", "west"]):
    table[number::4].to_csv(f"{hospital}/rows.csv", index=False)
END

# 5. One hospital drafts a plan and proposes it; two more votes approve it.
fedledger plan draft --data north/rows.csv --label diagnosis --rounds 3 --out plan.json
TERMS=$(fedledger plan propose plan.json --store "$STORE" --key north/key.json --format json |
    sed -n 's/.*"terms": "\([0-9a-f]*\)".*/\1/p')
fedledger plan show "$TERMS" --store "$STORE"
fedledger plan approve "$TERMS" --key south/key.json
fedledger plan approve "$TERMS" --key east/key.json

# 6. The operator starts a run. Each hospital sets up its node, accepts the plan there, and joins.
fedledger run start "$TERMS" --key operator/key.json
PLAN=$(fedledger plan list --format json | sed -n 's/.*"plan": "\([0-9a-f]*\)".*/\1/p')
for who in north south east west; do
    fedledger node init --key $who/key.json --store "$STORE" --data $who/rows.csv --state $who/state \
        --seed 7 --out $who/node.toml
    fedledger node accept "$PLAN" --config $who/node.toml --yes
    fedledger preflight --config $who/node.toml
    fedledger run join 1 --key $who/key.json
done

# 7. The processes.
for who in north south east west; do
    fedledger node run --config $who/node.toml > $who/log 2>&1 &
    PROCESSES="$PROCESSES $!"
done
fedledger aggregator init --key aggregator/key.json --store "$STORE" --state aggregator/state \
    --out aggregator/aggregator.toml
fedledger aggregator run --config aggregator/aggregator.toml > aggregator/log 2>&1 &
PROCESSES="$PROCESSES $!"

# 8. Three rounds.
fedledger run wait 1 --certified 3
fedledger run status 1

# 9. The auditor has no key and no file of the others; it asks the chain and the payload store.
LEDGER=$(sed -n 's/round_ledger = "\(.*\)"/\1/p' consortium.toml)
fedledger audit --rpc "$RPC" --ledger "$LEDGER" --store "$STORE"
