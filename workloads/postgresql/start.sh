# Makes a cluster as the user of the package, and becomes its server.
#
# A session holds a transaction open, which reads what to do next from a fifo: check.sh has it
# committed after the event. It says by a file that it is there, and with it that all is ready.
if [ "$(id -u)" = 0 ]; then
    install -d -o postgres -g postgres /run/postgresql
    exec setpriv --reuid=postgres --regid=postgres --init-groups /bin/sh -e "$0"
fi

initdb --no-sync --no-locale --encoding=UTF8 --auth=trust --data-checksums >/run/postgresql/initdb.log
echo "host all all 0.0.0.0/0 trust" >>"$PGDATA/pg_hba.conf"
mkfifo /run/postgresql/commands

hold() {
    until pg_isready --quiet; do sleep 0.1; done
    # Open for writing too: so there is no end of input as long as the session lives.
    PGAPPNAME=holder psql --quiet --no-psqlrc <>/run/postgresql/commands >/run/postgresql/said 2>&1 &
    echo "CREATE TABLE held (word text); BEGIN; INSERT INTO held VALUES ('open');
        \! touch /run/postgresql/held" >/run/postgresql/commands
}
hold &

# No more connections and memory than a small node has.
exec postgres -c listen_addresses='*' -c max_connections=20 -c shared_buffers=32MB -c max_prepared_transactions=2
