# The transaction that was open before the event is open still, and can be committed.
ask() {
    psql --no-psqlrc --username=postgres --tuples-only --no-align --command="$1"
}

session="application_name = 'holder' AND state = 'idle in transaction'"
test "$(ask "SELECT count(*) FROM pg_stat_activity WHERE $session")" = 1
test "$(ask "SELECT count(*) FROM held")" = 0
echo "COMMIT;" >/run/postgresql/commands
for _ in $(seq 100); do
    if [ "$(ask "SELECT word FROM held")" = open ]; then exit 0; fi
    sleep 0.1
done
cat /run/postgresql/said >&2
exit 1
