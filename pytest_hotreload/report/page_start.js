
root.classList.add("scripted");
view.open();
tables();
failures();
