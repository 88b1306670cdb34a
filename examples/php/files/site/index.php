<?php
// A guest book. Its entries are in a file of SQLite, in a volume.

$book = new PDO('sqlite:/var/lib/book/book.sqlite', options: [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
$book->exec('create table if not exists entry (text text)');
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    $book->prepare('insert into entry values (?)')->execute([mb_substr($_POST['text'] ?? '', 0, 200)]);
    header('Location: /', response_code: 303);
    exit;
}
?>
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Guest book</title>
<link rel="stylesheet" href="/style.css">
<h1><?= htmlspecialchars(getenv('BOOK_TITLE')) ?></h1>
<ul>
<?php foreach ($book->query('select text from entry') as $entry): ?>
<li><?= htmlspecialchars($entry['text']) ?></li>
<?php endforeach ?>
</ul>
<form method="post"><input name="text" maxlength="200"> <button>Write</button></form>
